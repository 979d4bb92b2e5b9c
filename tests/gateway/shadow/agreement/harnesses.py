"""The official harness and ours, each run as its users run it, on the same samples with the same libraries."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.shadow.environment import Environment, interpreter
from gateway.shadow.environment.pip import Pip
from gateway.shadow.environment.sets import FULL
from gateway.shadow.environment.setup import Progress, set_up
from tests.gateway.shadow.agreement.samples import Judged

_HERE = Path(__file__).parent
_OFFICIAL = _HERE / "bigcodebench.txt"
_WORKER = _HERE / "worker.py"
_UID = "61000"  # anyone but root, whom no file's mode stops
_REASON = 400


class CannotCompare(Exception):
    """Says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Said:
    """A harness's verdict. ``level``: how ours came to it."""

    verdict: str
    seconds: float
    reason: str = ""
    level: str = ""


def installed(folder: Path) -> Environment:
    """The full scoring environment, with the official harness in it: both run the same files of the same libraries."""
    progress = Progress(lambda step: print(f"{step} ...", file=sys.stderr, flush=True), lambda *_: None)
    environment = set_up(folder, FULL, Path(sys.executable), progress).environment
    if not list(folder.glob("lib/python*/site-packages/bigcodebench-0.2.5.dist-info")):
        # `bigcodebench.eval` imports numpy alone; what else it depends on serves generation and remote execution.
        Pip(interpreter(folder), folder / "setup.log", lambda *_: None).install(_OFFICIAL)
    return environment


class Official:
    """bigcodebench 0.2.5 behind bubblewrap's walls, as it has none: the same lack of network, and no root.

    Verdicts are kept in ``kept``, so that an interrupted run goes on where it was. ``warm``: libraries are imported
    once, not by each program, which is for verdicts, not for comparing speeds.
    """

    def __init__(self, folder: Path, environment: Environment, workers: int, *, warm: bool = False) -> None:
        self._modules = environment.preload if warm else ()
        self._folder, self._python, self._workers = folder.absolute(), environment.python, workers
        self._bwrap = shutil.which("bwrap")
        if self._bwrap is None:
            raise CannotCompare("bubblewrap is missing: apt-get install -y bubblewrap")
        self.kept = folder / f"official-{environment.name}.jsonl"

    def judge(self, samples: Sequence[Judged], *, anew: bool = False, workers: int | None = None) -> dict[str, Said]:
        found = {} if anew else self._read_kept(samples)
        missing = [sample for sample in samples if sample.id not in found]
        if missing:
            keep = None if anew else self.kept
            found |= self._run(missing, workers or self._workers, keep)
        return {sample.id: found[sample.id] for sample in samples}

    def _read_kept(self, samples: Sequence[Judged]) -> dict[str, Said]:
        keys = {key(sample): sample.id for sample in samples}
        found: dict[str, Said] = {}
        with suppress(FileNotFoundError):
            for line in self.kept.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):  # the last line of an interrupted run
                    row = json.loads(line)
                    if row["key"] in keys:
                        found[keys[row["key"]]] = Said(**row["said"])
        return found

    def _run(self, samples: Sequence[Judged], workers: int, keep: Path | None) -> dict[str, Said]:
        by_id = {sample.id: sample for sample in samples}
        found: dict[str, Said] = {}
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
                    said = Said(row["verdict"], row["seconds"], reason[-_REASON:])
                    found[row["id"]] = said
                    if keep:
                        with keep.open("a", encoding="utf-8") as out:
                            out.write(json.dumps({"key": key(by_id[row["id"]]), "said": asdict(said)}) + "\n")
                    _count("official", len(found), len(samples))
        if len(found) < len(samples):
            raise CannotCompare(
                f"the official harness ended with {process.returncode} before it had judged all samples"
            )
        return found

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


class Ours:
    """`yardstick shadow score`, with its defaults."""

    def __init__(self, suite: Path, folder: Path, workers: int) -> None:
        self._suite, self._folder, self._workers = suite, folder.absolute(), workers

    def judge(self, samples: Sequence[Judged], *, workers: int | None = None) -> dict[str, Said]:
        found: dict[str, Said] = {}
        with TemporaryDirectory() as exchange:
            file = Path(exchange) / "samples.jsonl"
            rows = [{"task_id": sample.task.task_id, "solution": sample.solution} for sample in samples]
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            command = [sys.executable, "-m", "gateway", "shadow", "score", "--suite", str(self._suite)]
            command += ["--samples", str(file), "--environment", str(self._folder), "--json", "--reasons"]
            command += ["--workers", str(workers or self._workers)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for sample, line in zip(samples, process.stdout, strict=False):
                    row = json.loads(line)
                    found[sample.id] = Said(row["verdict"], row["seconds"], row["reason"][:_REASON], row["level"])
                    _count("ours", len(found), len(samples))
        if len(found) < len(samples):
            raise CannotCompare(
                f"`yardstick shadow score` ended with {process.returncode} before all samples were done"
            )
        return found


def key(sample: Judged) -> str:
    """Of all that the official harness is given."""
    content = json.dumps([sample.program, sample.task.test, sample.task.entry_point])
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:24]


def cores() -> int:
    return len(os.sched_getaffinity(0))


def _count(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{name}: {done} of {total} ", end="" if done < total else "\n", file=sys.stderr, flush=True)
    elif done % 100 == 0 or done == total:
        print(f"{name}: {done} of {total}", file=sys.stderr, flush=True)
