"""How a slot's server is started: the command, its environment, and what it may read."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.shadow.sandbox.interpreter import Interpreter, SandboxError

_HERE = Path(__file__).resolve().parent
_INSIDE = "/run/yardstick"  # where the runner's package lies inside bubblewrap
_BOOT = (
    "import sys; sys.path[0] = sys.argv[1]; from runner.server import main; del sys.path[0];"
    " import json; main(json.loads(sys.argv[2]))"
)
_SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Of /etc only what libraries read, and nothing that could be a secret.
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/fonts",
    "/etc/alternatives",
)
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SETPCAP", "CAP_SYS_CHROOT")


class Level(StrEnum):
    """Namespaces made by bubblewrap, or Landlock where none can be made; both with a filter of system calls."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"


@dataclass(frozen=True, slots=True)
class Start:
    """``folder``: where the Landlock level may write (None for bubblewrap). ``uid``: None stays who we are."""

    level: Level
    interpreter: Interpreter
    preload: Sequence[str]
    uid: int | None
    folder: Path | None
    cgroup: Sequence[str] = ()

    def command(self, socket: int) -> list[str]:
        """What starts the server, which takes its jobs from descriptor ``socket``."""
        python = [str(self.interpreter.executable), "-s", "-B", "-c", _BOOT]
        settings: dict[str, Any] = {"level": self.level, "socket": socket, "preload": list(self.preload)}
        reveal = [
            *self.interpreter.folders,
            str(_HERE / "runner"),
            *([] if self.folder is None else [str(self.folder)]),
        ]
        if self.level is Level.BUBBLEWRAP:
            settings["folders"] = [folder for folder in self.interpreter.folders if folder.startswith("/tmp/")]
            settings["links"] = [link for link in self.interpreter.links if link[0].startswith("/tmp/")]
            command = [*self._bubblewrap(), *python, _INSIDE, json.dumps(settings)]
            data = [_passwd(self._uid), _group(self._uid), _HOSTS, _NAMES]
        else:
            settings |= {"read": [*self.interpreter.folders, "/usr", *_SYSTEM_LINKS, *SYSTEM_FILES]}
            settings |= {"folder": str(self.folder), "own_user": self.uid is not None}
            command, data = [*python, str(_HERE), json.dumps(settings)], []
        enter = {
            "command": command,
            "env": self._environment(),
            "reveal": reveal,
            "links": self.interpreter.links,
            "uid": self.uid,
        }
        return [
            sys.executable,
            "-I",
            str(_HERE / "enter.py"),
            json.dumps(enter | {"cgroup": [*self.cgroup], "data": data}),
        ]

    @property
    def _uid(self) -> int:
        return os.getuid() if self.uid is None else self.uid

    def _bubblewrap(self) -> list[str]:
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise SandboxError("bubblewrap is not installed. On Debian and Ubuntu: apt-get install -y bubblewrap")
        words = [bwrap, "--unshare-all", "--unshare-user", "--disable-userns", "--new-session", "--hostname", "sandbox"]
        for capability in _CAPABILITIES:
            words += ["--cap-add", capability]
        words += ["--ro-bind", "/usr", "/usr"]
        for path in _SYSTEM_LINKS:
            if os.path.islink(path):
                words += ["--symlink", os.readlink(path), path]
            else:
                words += ["--ro-bind-try", path, path]
        for path in SYSTEM_FILES:
            words += ["--ro-bind-try", path, path]
        for at, path in enumerate(("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf")):
            words += ["--ro-bind-data", f"{{{at}}}", path]
        words += ["--proc", "/proc", "--dev", "/dev", "--dir", "/run/job", "--dir", "/run/warm", "--dir", "/tmp"]
        words += ["--symlink", "/tmp", "/var/tmp"]
        for folder in self.interpreter.folders:
            words += ["--ro-bind", folder, folder]
        for path, target in self.interpreter.links:
            words += ["--symlink", target, path]
        words += ["--ro-bind", str(_HERE / "runner"), f"{_INSIDE}/runner"]
        return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]

    def _environment(self) -> dict[str, str]:
        home = "/tmp" if self.folder is None else f"{self.folder}/tmp"
        warm = "/run/warm" if self.folder is None else f"{self.folder}/warm"
        threads = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")
        return {
            "PATH": f"{self.interpreter.executable.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "TMPDIR": home,
            "USER": "sandbox",
            "LOGNAME": "sandbox",
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            **{f"{name}_NUM_THREADS": "1" for name in threads},
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": f"{warm}/matplotlib",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_ENABLE_ONEDNN_OPTS": "0",
        }


_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
_NAMES = "passwd: files\ngroup: files\nhosts: files dns\n"


def _passwd(uid: int) -> str:
    return f"sandbox:x:{uid}:{uid}:sandbox:/tmp:/bin/sh\n"


def _group(uid: int) -> str:
    return f"sandbox:x:{uid}:\n"
