"""The official harness and ours, each run as its users run it, on the same samples with the same libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.shadow.environment import Environment, interpreter
from gateway.shadow.environment.pip import Pip
from gateway.shadow.environment.sets import FULL
from gateway.shadow.environment.setup import Progress, set_up
from tests.gateway.shadow.agreement.samples import Judged
from tests.gateway.shadow.agreement.verdicts import Kept, Said, digest_of_code, official_key, our_key

_HERE = Path(__file__).parent
_OFFICIAL = _HERE / "bigcodebench.txt"
_WORKER = _HERE / "worker.py"
_UID = "61000"  # anyone but root, whom no file's mode stops
_REASON = 400
GATEWAY = _HERE.parents[3] / "gateway"
# Everything of ours that a verdict depends on, but for the environment, whose name says what is in it.
DECIDING = (
    *("shadow/score", "shadow/sandbox", "shadow/suites", "shadow/extract.py"),
    "cli/shadow/score.py",  # its defaults are the limits
)


class CannotCompare(Exception):
    """Says why, and what to do."""


def installed(folder: Path) -> Environment:
    """The full scoring environment, with the official harness in it: both run the same files of the same libraries."""
    progress = Progress(lambda step: print(f"{step} ...", file=sys.stderr, flush=True), lambda *_: None)
    environment = set_up(folder, FULL, Path(sys.executable), progress).environment
    if not list(folder.glob("lib/python*/site-packages/bigcodebench-0.2.5.dist-info")):
        # `bigcodebench.eval` imports numpy alone; what else it depends on serves generation and remote execution.
        Pip(interpreter(folder), folder / "setup.log", lambda *_: None).install(_OFFICIAL)
    return environment


class Harness(ABC):
    """Judges samples, ``workers`` at a time. Verdicts are kept, so that an interrupted run goes on where it was."""

    name: str

    def __init__(self, kept: Kept, workers: int) -> None:
        self.kept, self._workers = kept, workers

    def judge(self, samples: Sequence[Judged], *, anew: bool = False, workers: int | None = None) -> dict[str, Said]:
        """By ids of samples. ``anew``: what is kept is not asked, nor added to."""
        run = partial(self._run, workers=workers or self._workers)
        found: dict[str, Said] = {}
        for sample, said in run(samples) if anew else self.kept.or_run(samples, run):
            found[sample.id] = said
            _count(self.name, len(found), len(samples))
        return {sample.id: found[sample.id] for sample in samples}

    @abstractmethod
    def _run(self, samples: Sequence[Judged], workers: int) -> Iterator[tuple[Judged, Said]]:
        """Of each sample, as it is done. Raises CannotCompare if it ends before that."""


class Official(Harness):
    """bigcodebench 0.2.5 behind bubblewrap's walls, as it has none: the same lack of network, and no root.

    ``warm``: libraries are imported once, not by each program, which is for verdicts, not for comparing speeds.
    """

    name = "official"

    def __init__(self, folder: Path, environment: Environment, workers: int, *, warm: bool = False) -> None:
        super().__init__(Kept(folder / f"official-{environment.name}.jsonl", official_key), workers)
        self._modules = environment.preload if warm else ()
        self._folder, self._python = folder.absolute(), environment.python
        self._bwrap = shutil.which("bwrap")
        if self._bwrap is None:
            raise CannotCompare("bubblewrap is missing: apt-get install -y bubblewrap")

    def _run(self, samples: Sequence[Judged], workers: int) -> Iterator[tuple[Judged, Said]]:
        left = {sample.id: sample for sample in samples}
        with TemporaryDirectory(dir=self._folder) as exchange:
            folder = Path(exchange)
            folder.chmod(0o755)
            programs = [
                {"id": each.id, "program": each.program, "test": each.task.test, "entry_point": each.task.entry_point}
                for each in samples
            ]
            (folder / "programs.jsonl").write_text("".join(json.dumps(program) + "\n" for program in programs))
            command = [*self._walls(folder), self._python, "/tmp/worker.py", f"{folder}/programs.jsonl", str(workers)]
            command += self._modules
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    row = json.loads(line)
                    reason = "; ".join(f"{test}: {text.strip()}" for test, text in row["details"].items())
                    yield left.pop(row["id"]), Said(row["verdict"], row["seconds"], reason[-_REASON:])
        if left:
            raise CannotCompare(
                f"the official harness ended with {process.returncode} before it had judged all samples"
            )

    def _walls(self, exchange: Path) -> list[str]:
        base = subprocess.run(
            [self._python, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=True
        ).stdout.strip()
        read_only = [path for path in ("/usr", "/bin", "/lib", "/lib64", "/etc") if Path(path).exists()]
        bind = [argument for path in (*read_only, base) for argument in ("--ro-bind", path, path)]
        # As with the environment activated: some tasks start `python`.
        settings = {"PATH": f"{self._python.parent}:/usr/bin:/bin", "HOME": "/tmp/home", "LANG": "C.UTF-8"}
        if self._modules:
            settings["OPENBLAS_NUM_THREADS"] = "1"  # threads do not survive the forks
        environment = [argument for pair in settings.items() for argument in ("--setenv", *pair)]
        return [
            *(str(self._bwrap), "--unshare-all", "--unshare-user", "--uid", _UID, "--gid", _UID, "--die-with-parent"),
            *("--new-session", "--clearenv", *environment, "--proc", "/proc", "--dev", "/dev"),
            *("--tmpfs", "/tmp", "--dir", "/tmp/home", "--dir", "/tmp/work", "--chdir", "/tmp/work", *bind),
            *("--ro-bind", str(self._folder), str(self._folder), "--ro-bind", str(_WORKER), "/tmp/worker.py"),
            *("--ro-bind", str(exchange), str(exchange)),
            *("--remount-ro", "/"),  # some tests rely on folders there that can't be made
        ]


class Ours(Harness):
    """`yardstick shadow score`, with its defaults. Verdicts of other scoring code than today's are not used."""

    name = "ours"

    def __init__(self, suite: Path, folder: Path, environment: str, workers: int) -> None:
        """``environment``: the name of the one in ``folder``."""
        file = folder / f"ours-{environment}-{digest_of_code(GATEWAY, DECIDING)}.jsonl"
        super().__init__(Kept(file, our_key), workers)
        self._suite, self._folder = suite, folder.absolute()

    def _run(self, samples: Sequence[Judged], workers: int) -> Iterator[tuple[Judged, Said]]:
        done = 0
        with TemporaryDirectory() as exchange:
            file = Path(exchange) / "samples.jsonl"
            rows = [{"task_id": sample.task.task_id, "solution": sample.solution} for sample in samples]
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            command = [sys.executable, "-m", "gateway", "shadow", "score", "--suite", str(self._suite)]
            command += ["--samples", str(file), "--environment", str(self._folder), "--json", "--reasons"]
            command += ["--workers", str(workers)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for sample, line in zip(samples, process.stdout, strict=False):
                    row = json.loads(line)
                    yield sample, Said(row["verdict"], row["seconds"], row["reason"][:_REASON], row["level"])
                    done += 1
        if done < len(samples):
            raise CannotCompare(
                f"`yardstick shadow score` ended with {process.returncode} before all samples were done"
            )


def cores() -> int:
    return len(os.sched_getaffinity(0))


def _count(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{name}: {done} of {total} ", end="" if done < total else "\n", file=sys.stderr, flush=True)
    elif done % 100 == 0 or done == total:
        print(f"{name}: {done} of {total}", file=sys.stderr, flush=True)
