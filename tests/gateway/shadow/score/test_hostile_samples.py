"""Hostile and odd samples in real slots: a verdict each, the next sample unharmed, and nothing left behind."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import threading
from pathlib import Path

import pytest

from gateway.shadow.sandbox.job import Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.slot import Slot
from gateway.shadow.score.check import Checker
from gateway.shadow.score.samples import Sample
from gateway.shadow.score.scorer import Scorer
from gateway.shadow.score.slots import bare_python
from gateway.shadow.score.verdict import Verdict
from tests.gateway.shadow.score.test_check import task
from tests.gateway.shadow.walls import in_own_process, need, need_any

LIMITS = Limits(cpu=1, wall=8, memory=256 << 20, processes=32, files=16 << 20)
GOOD = "    return x + 1"
MARK = "yardstick-left-behind"

HOSTILE = {
    "prints without end": "while True: print('x' * 1_000_000)",
    "never ends": "while True: pass",
    "sleeps through its time": "import time\ntime.sleep(1000)",
    "ignores signals": "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\nwhile True: pass",
    "leaves a daemon": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    f"        open('/proc/self/comm', 'w').write('{MARK[:15]}')\n        time.sleep(1000)\n    os._exit(0)\n"
    "def f(x): return 7",
    "forks without end": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "fills the disk": f"n = 0\nwhile True:\n    n += 1\n    open(f'/tmp/{MARK}-{{n}}', 'wb').write(b'x' * 1_000_000)",
    "fills memory": "x = []\nwhile True: x.append(bytearray(10_000_000))",
    "leaves files": f"import tempfile\nopen('/tmp/{MARK}', 'w').write('x')\nopen('{MARK}', 'w').write('x')\n"
    "def f(x): return 7",
    "ends early": "import os\nos._exit(0)",
    "exits": "import sys\nsys.exit(0)",
    "10 MB": "def f(x): return 7\n" + "#" * 10_000_000,
    "10 MB of code": "def f(x): return 7\n" + "a = 1\n" * 1_700_000,
    "nests deeply": "x = " + "(" * 100_000 + ")" * 100_000,
    "a NUL byte": "def f(x): return '\0'",
    "half a character": "def f(x): return '\ud800'",
    "nothing": "",
    "no code": "I am sorry, but I can't.",
    "a syntax error": "def f(x: return",
    "null": "f = None",
}


@pytest.fixture(params=list(Level))
def level(request: pytest.FixtureRequest) -> Level:
    return need(request.param)


def score(level: Level, texts: list[str], workers: int = 2) -> list[Verdict]:
    samples = [Sample(task(), text, len(text)) for text in texts]
    scorer = Scorer(Checker(level, LIMITS), lambda: Slot(level, bare_python()), workers=workers)
    return list(scorer.score(samples))


def left_behind() -> list[str]:
    """Processes and files with our mark, wherever they would be."""
    found = [str(path) for folder in ("/tmp", "/dev/shm", ".") for path in Path(folder).glob(f"{MARK}*")]
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found += [process.name] * ((process / "comm").read_text().strip() == MARK[:15])
            except OSError:
                pass
    return found


def _descriptors() -> set[str]:
    """Numbers of those that are open, and what they are of."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return found


def _score_all(level: Level) -> tuple[list[Verdict], int, list[str]]:
    """Each hostile sample and a good one after it: verdicts, by how many threads there are more, and descriptors."""
    threads, descriptors = threading.active_count(), _descriptors()
    verdicts = score(level, [text for hostile in HOSTILE.values() for text in (hostile, GOOD)])
    gc.collect()  # what only a cycle of references still has is no leak
    return verdicts, threading.active_count() - threads, sorted(_descriptors() - descriptors)


def test_every_hostile_sample_is_refused_and_the_next_is_unharmed(level: Level) -> None:
    verdicts, threads, descriptors = in_own_process(_score_all, level)
    passed = [name for name, verdict in zip(HOSTILE, verdicts[::2], strict=True) if verdict.says == "pass"]
    assert passed == []
    assert [verdict.reason for verdict in verdicts if verdict.says == "error"] == []
    harmed = [name for name, verdict in zip(HOSTILE, verdicts[1::2], strict=True) if verdict.says != "pass"]
    assert harmed == []
    assert left_behind() == []
    assert (threads, descriptors) == (0, [])


def test_what_never_ends_is_a_timeout(level: Level) -> None:
    names = ("never ends", "ignores signals", "sleeps through its time")
    verdicts = score(level, [HOSTILE[name] for name in names])
    assert [verdict for verdict in verdicts if verdict.says != "timeout"] == []


def test_output_and_long_samples_cost_the_scorer_no_memory() -> None:
    level = need_any()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    score(level, [HOSTILE["prints without end"], *[HOSTILE["10 MB"]] * 30])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10  # in KiB
