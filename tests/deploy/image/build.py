"""Carries out a Dockerfile's steps in roots of their own, as `docker build` would."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2b_dockerfile_utils import DockerfileInstruction

from tests.deploy.image.context import Context
from tests.deploy.image.debian import CannotBuild
from tests.deploy.image.dockerfile import Settings, Stage

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # what an image has that sets none
# How this machine reaches package indexes; `docker build` takes these from --build-arg and its own settings.
_NETWORK = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT"),
)
_CERTIFICATES = "/dev/pip-certificates.crt"  # in a file system that is gone after the step
_CHANGES_FILES = ("RUN", "COPY", "WORKDIR")
_LAST_LINES = 25


@dataclass(frozen=True, slots=True)
class Image:
    root: Path
    settings: Settings


class Build:
    """``base``: the root that every foreign image stands for. ``work``: an empty folder. ``told``: a line a step."""

    def __init__(
        self, stages: Sequence[Stage], context: Context, base: Path, work: Path, told: Callable[[str], None]
    ) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._context = context
        self._base = base
        self._work = work
        self._told = told
        self._made: dict[str, Image] = {}

    def image(self, name: str) -> Image:
        """Of a stage, after the stages that it needs, and no others. Raises CannotBuild."""
        if name in self._made:
            return self._made[name]
        stage = self._stages[name]
        begun = self.image(stage.base) if stage.base in self._stages else Image(self._base, Settings())
        for needed in _copied_from(stage):
            self.image(needed)
        root = begun.root
        if any(step.name in _CHANGES_FILES for step in stage.steps):
            root = self._work / name
            subprocess.run(["cp", "--archive", "--reflink=auto", begun.root, root], check=True)
        settings = begun.settings
        for number, step in enumerate(stage.steps, 1):
            began = time.monotonic()
            settings = settings.after(step)
            self._carry_out(step, root, settings)
            took = time.monotonic() - began
            self._told(f"{name} {number}/{len(stage.steps)} {_shown(step)} ({took:.1f} s)")
        self._made[name] = Image(root, settings)
        return self._made[name]

    def _carry_out(self, step: DockerfileInstruction, root: Path, settings: Settings) -> None:
        if step.name == "WORKDIR":
            place(root, settings.folder).mkdir(mode=0o755, parents=True, exist_ok=True)
        elif step.name == "COPY":
            self._copy(step, root, settings)
        elif step.name == "RUN":
            if settings.user not in ("", "0", "root"):
                raise CannotBuild(f"line {step.start_line}: RUN as another user than root is not understood")
            self._run(step, root, settings)

    def _copy(self, step: DockerfileInstruction, root: Path, settings: Settings) -> None:
        """What arrives is root's, with the modes and times that it had."""
        said = settings.copy(step)
        for source in said.sources:
            target = place(root, said.target)
            if said.stage is None:
                self._context.copy(source, target, into=said.target.endswith("/"))
                continue
            found = place(self._made[said.stage].root, source)
            if not found.is_dir():
                raise CannotBuild(f"line {step.start_line}: {said.stage} has no folder {source}")
            target.mkdir(mode=0o755, parents=True, exist_ok=True)
            subprocess.run(["cp", "--archive", "--no-preserve=ownership", f"{found}/.", target], check=True)

    def _run(self, step: DockerfileInstruction, root: Path, settings: Settings) -> None:
        environment = {"PATH": _PATH, "HOME": "/root", **_network(), **settings.environment}
        words = ["bwrap", "--bind", str(root), "/", "--dev", "/dev", "--proc", "/proc", "--cap-add", "ALL"]
        words += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--clearenv"]
        words += ["--ro-bind", os.path.realpath("/etc/resolv.conf"), "/etc/resolv.conf"]
        if certificates := os.environ.get("PIP_CERT"):
            words += ["--ro-bind", os.path.realpath(certificates), _CERTIFICATES]
            environment["PIP_CERT"] = _CERTIFICATES
        for name, value in environment.items():
            words += ["--setenv", name, value]
        words += ["--chdir", settings.folder, "--", "/bin/sh", "-c", step.args[0]]
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            last = "\n".join(done.stdout.splitlines()[-_LAST_LINES:])
            raise CannotBuild(f"line {step.start_line}: RUN ended with {done.returncode}: {step.args[0]}\n{last}")


def place(root: Path, path: str) -> Path:
    """Of a path inside ``root``. Refuses links on the way, which would lead out of it."""
    here = root
    for part in Path(path).relative_to("/").parts:
        if here.is_symlink() or part == "..":
            raise CannotBuild(f"{path}: {here.relative_to(root)} is a link, or leads upwards")
        here = here / part
    return here


def size(root: Path, without: Path | None = None) -> int:
    """Bytes in files, links counted once; of those that ``without`` has not, or has otherwise."""
    seen: set[int] = set()
    total = 0
    for at, _, names in os.walk(root):
        for name in names:
            path = Path(at) / name
            status = path.lstat()
            if status.st_ino in seen or (without is not None and _same(path, without / path.relative_to(root))):
                continue
            seen.add(status.st_ino)
            total += status.st_size
    return total


def _same(path: Path, other: Path) -> bool:
    """By what a layer would notice: copies keep times."""
    try:
        one, two = path.lstat(), other.lstat()
    except FileNotFoundError:
        return False
    return all(getattr(one, name) == getattr(two, name) for name in ("st_size", "st_mtime_ns", "st_mode", "st_uid"))


def _copied_from(stage: Stage) -> Iterator[str]:
    for step in stage.steps:
        if step.name == "COPY":
            yield from (flag.removeprefix("--from=") for flag in step.flags)


def _network() -> Mapping[str, str]:
    return {name: os.environ[name] for name in _NETWORK if os.environ.get(name)}


def _shown(step: DockerfileInstruction) -> str:
    width = max(40, shutil.get_terminal_size((120, 24)).columns - 40)
    text = " ".join(step.original.split())
    return text if len(text) <= width else f"{text[: width - 1]}…"
