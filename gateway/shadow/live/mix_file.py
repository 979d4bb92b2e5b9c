"""The live mix between two lives of the shadow process: with another mix, canaries would be another distribution."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from gateway.config import data_dir
from gateway.shadow.canary.mix import LiveMix

_NAME = "live-mix.json"


def mix_file() -> Path:
    """Where a gateway of this user keeps it: $XDG_DATA_HOME/yardstick/live-mix.json."""
    return data_dir() / _NAME


def read_mix(file: Path) -> LiveMix:
    """An empty one where there is none, or none that this version can read."""
    try:
        return LiveMix.from_json(json.loads(file.read_bytes()))
    except (OSError, ValueError, AttributeError):
        return LiveMix()


def write_mix(file: Path, mix: LiveMix) -> None:
    """Whole or not at all; a disk that is full keeps nothing from running."""
    new = file.with_suffix(f".{os.getpid()}.new")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(mix.to_json()), encoding="utf-8")
        new.replace(file)
