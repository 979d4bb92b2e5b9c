"""Runs an image as a pod does that meets the `restricted` level.

A user that is not root, without capabilities, new privileges or user namespaces; a root that can't be written; its
command as process 1. The network is this machine's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from tests.deploy.image.build import Image

USER = 10001
WRITABLE = ("/tmp", "/var/lib/yardstick", "/var/cache/yardstick")
"""What a pod mounts volumes at. Each is empty at first, and gone with the pod."""

_CONFIGURATION = "/etc/yardstick"
# A mount that every user can reach, wherever the root lies; it is seen by these processes only.
_REACHABLE = 'mount --bind "$1" /mnt && shift && exec "$@"'
_CONTAINER = (
    *("bwrap", "--ro-bind", "/mnt", "/", "--proc", "/proc", "--dev", "/dev", "--new-session", "--die-with-parent"),
    *("--unshare-user", "--disable-userns", "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts"),
)


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


class Pod:
    """One container that runs. What it says goes to ``out`` and ``err``, which can be read at any time."""

    def __init__(self, image: Image, command: Sequence[str], files: Mapping[str, bytes], uid: int, gid: int) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 (`close` does)
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        told, tell = os.pipe()
        handed = {name: _file(content) for name, content in files.items()}
        words = _as_user(image, uid, gid)
        words += [*_CONTAINER, "--info-fd", str(tell), "--clearenv"]
        for name, value in image.settings.environment.items():
            words += ["--setenv", name, value]
        for path in (*WRITABLE, _CONFIGURATION):
            words += ["--perms", "0755", "--tmpfs", path]
        for name, descriptor in handed.items():
            words += ["--perms", "0444", "--ro-bind-data", str(descriptor), f"{_CONFIGURATION}/{name}"]
        words += ["--remount-ro", _CONFIGURATION, "--chdir", image.settings.folder, "--", *command]
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err, pass_fds=[tell, *handed.values()]
        )
        for descriptor in (tell, *handed.values()):
            os.close(descriptor)
        with os.fdopen(told) as information:
            said = information.read()
        self._first = int(json.loads(said)["child-pid"]) if said else None

    def send(self, number: signal.Signals) -> None:
        """To process 1, from outside, as the kubelet does it: what it does not handle, it does not notice."""
        assert self._first is not None, self.err
        os.kill(self._first, number)

    def ended(self, seconds: float) -> int:
        """Waits for the end: its exit code."""
        return self._process.wait(seconds)

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def out(self) -> str:
        return _content(self._out)

    @property
    def err(self) -> str:
        return _content(self._err)

    def close(self) -> None:
        """Ends all that runs in it."""
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._err.close()


def start(
    image: Image, *arguments: str, files: Mapping[str, bytes] | None = None, uid: int = USER, gid: int = USER
) -> Pod:
    """The image's own command, or its entrypoint with ``arguments``. ``files``: by name, in /etc/yardstick."""
    settings = image.settings
    return Pod(image, [*settings.entrypoint, *(arguments or settings.command)], files or {}, uid, gid)


def run(
    image: Image,
    *arguments: str,
    entrypoint: Sequence[str] | None = None,
    files: Mapping[str, bytes] | None = None,
    uid: int = USER,
    gid: int = USER,
    seconds: float = 120,
) -> Ran:
    """To its end. ``entrypoint``: in place of the image's, as `docker run --entrypoint` has it."""
    command = [*(image.settings.entrypoint if entrypoint is None else entrypoint), *arguments]
    pod = Pod(image, command, files or {}, uid, gid)
    try:
        return Ran(pod.ended(seconds), pod.out, pod.err)
    finally:
        pod.close()


def _as_user(image: Image, uid: int, gid: int) -> list[str]:
    words = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _REACHABLE, "sh", str(image.root)]
    words += ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    return [*words, "--inh-caps=-all", "--bounding-set=-all"]


def _file(content: bytes) -> int:
    """A descriptor to read it from."""
    descriptor = os.memfd_create("file")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _content(file: IO[bytes]) -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
