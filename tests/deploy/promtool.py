"""Prometheus' own checker, from Debian's package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def promtool(*arguments: str | Path) -> str:
    """What it says; a failure of the test if it is not content. Skips where there is none."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("no promtool here: apt-get install -y --no-install-recommends prometheus")
    ran = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
