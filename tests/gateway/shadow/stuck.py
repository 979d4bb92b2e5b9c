"""A Python whose module `stuck` is imported without end, in place of libraries that take a minute."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

MODULE = "stuck"


class Stuck:
    """An environment in ``folder``. Its module reads from a pipe to which nothing is ever written."""

    def __init__(self, folder: Path, base: Path) -> None:
        subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
        self.python = folder / "bin" / "python"
        (packages,) = folder.glob("lib/*/site-packages")
        self._pipe = packages / "pipe"
        os.mkfifo(self._pipe)
        self._pipe.chmod(0o644)
        (packages / f"{MODULE}.py").write_text(f"open({str(self._pipe)!r}).read()\n")

    def wait_until_importing(self) -> int:
        """Returns once some process imports the module, with what keeps it there until it is closed."""
        return os.open(self._pipe, os.O_WRONLY)
