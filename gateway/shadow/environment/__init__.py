"""The scoring environment: a Python with the benchmark's libraries, never the gateway's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import cache_dir
from gateway.shadow.environment.sets import SETS, RequirementSet

MARKER = "yardstick-environment.json"
SETUP = "yardstick shadow setup"


class EnvironmentMissing(Exception):
    """There is none that could be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Environment:
    """``preload``: modules that a fork server may import, in this order, and stay with one thread.

    ``name``: set and digest, such as ``light-0123456789ab``; equal names mean equal versions of everything.
    """

    python: Path
    preload: tuple[str, ...]
    name: str


def default_folder() -> Path:
    return cache_dir() / "scoring"


def interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def find(folder: Path | None = None, sets: Mapping[str, RequirementSet] = SETS) -> Environment:
    """What `yardstick shadow setup` left in ``folder`` (by default, the default folder). Raises EnvironmentMissing."""
    given, folder = folder, folder or default_folder()
    command = f"{SETUP} --folder {given}" if given else SETUP
    marker = read_marker(folder)
    if marker is None:
        state = "was not completed" if folder.is_dir() else "does not exist"
        raise EnvironmentMissing(f"the scoring environment {folder} {state}: run `{command}`")
    chosen = sets.get(str(marker.get("set")))
    if chosen is None or marker.get("digest") != chosen.digest:
        full = " --full" if marker.get("set") == "full" else ""
        raise EnvironmentMissing(
            f"the scoring environment {folder} has other versions than this yardstick: run `{command}{full}`"
        )
    python = interpreter(folder)
    if not python.exists():  # a link to the Python that it was made with
        raise EnvironmentMissing(f"{python} leads to a Python that is gone: run `{command}`, which makes it anew")
    return Environment(python, chosen.preload, f"{chosen.name}-{chosen.digest}")


def read_marker(folder: Path) -> dict[str, Any] | None:
    """What is said of a complete environment; None for one that is not."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) else None
