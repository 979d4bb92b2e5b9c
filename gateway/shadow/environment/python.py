"""The Python that an environment is made with."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gateway.shadow.environment.pip import SetupError

_OLDEST, _NEWEST = (3, 11), (3, 13)
_MACHINES = ("x86_64", "aarch64")
_PATIENCE = 120.0  # seconds
_ASK = """\
import json, platform, sys
from importlib.util import find_spec
missing = [name for name in ("venv", "ensurepip") if find_spec(name) is None]
print(json.dumps({"version": sys.version_info[:3], "system": sys.platform, "machine": platform.machine(),
                  "libc": platform.libc_ver()[0], "missing": missing}))
"""


@dataclass(frozen=True, slots=True)
class Python:
    """One that packages of the sets exist for, and that can make virtual environments."""

    path: Path
    version: str

    @classmethod
    def asked(cls, path: Path) -> Self:
        """Raises SetupError, with what to do, if it won't do."""
        try:
            # Its own folder comes first on its path without -I, and may hold anything.
            answer = subprocess.run(
                [path, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_PATIENCE, check=True
            )
            about = json.loads(answer.stdout)
            version = ".".join(map(str, about["version"]))
        except (OSError, subprocess.SubprocessError, ValueError, TypeError):
            raise SetupError(f"{path} is no Python that runs: name another with --python") from None
        if not _OLDEST <= tuple(about["version"][:2]) <= _NEWEST:
            raise SetupError(
                f"the libraries are pinned for Python 3.11 to 3.13, and {path} is {version}: name another with --python"
            )
        if about["system"] != "linux" or about["machine"] not in _MACHINES or about["libc"] != "glibc":
            raise SetupError(
                f"the libraries are pinned for Linux with glibc on {' and '.join(_MACHINES)}, and this is"
                f" {about['system']} on {about['machine']}{'' if about['libc'] else ' without glibc'}: use a container"
            )
        if about["missing"]:
            raise SetupError(
                f"{path} has no {' and no '.join(about['missing'])} module. On Debian and Ubuntu:"
                f" apt-get install -y python{about['version'][0]}.{about['version'][1]}-venv"
            )
        return cls(path, version)

    def make_environment(self, folder: Path) -> None:
        command = [str(self.path), "-I", "-m", "venv", str(folder)]
        made = subprocess.run(command, capture_output=True, text=True, umask=0o022, check=False)
        if made.returncode:
            reason = (made.stderr or made.stdout).strip()[-600:]
            raise SetupError(f"{self.path} could not make a virtual environment in {folder}: {reason}")
