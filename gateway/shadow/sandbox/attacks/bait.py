"""What the host lays out for attacks, and what it can tell of them afterwards without asking them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.shadow.sandbox.attacks.victim import VARIABLE, Victim

_MARK_BYTES = 15  # what the kernel keeps of a process's name


class Bait:
    """A process, a file, folders and listeners of the host, each with a secret of its own. A context manager.

    ``secrets`` maps each to what it was in: whoever can name one has been there. ``servers``: processes of slots that
    have to live on; of those that are ``busy`` that is not asked.
    """

    def __init__(self) -> None:
        self.secrets = {f"ys-secret-{secrets.token_hex(16)}": place for place in ("environment", "file", "arguments")}
        self._environment, self._file, self._arguments = self.secrets
        self._run = secrets.token_hex(3)
        self._lock = threading.Lock()
        self._arrived: list[tuple[str, bytes]] = []
        self.servers: list[int] = []
        self.busy: set[int] = set()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="yardstick-proof-"))
        self._folder.chmod(0o755)
        (self._folder / "file").write_text(self._file)
        (self._folder / "open").mkdir()
        (self._folder / "open").chmod(0o777)
        (self._folder / "open" / "writable").write_text("untouched")
        (self._folder / "open" / "writable").chmod(0o666)
        self._mode = (self._folder / "open" / "writable").stat()
        self._listeners = self._listen()
        self._victim = Victim(self._environment, self._arguments)
        # For what is started from here on, unless its environment is its own. (os.environ stays as it is.)
        os.putenv(VARIABLE, self._environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.unsetenv(VARIABLE)
        self._victim.end()
        for listener in self._listeners.values():
            listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def victim(self) -> int:
        """The process's number."""
        return self._victim.pid

    def planted(self) -> dict[str, str]:
        """The variable with a secret that a process may have been given."""
        return {VARIABLE: self._environment}

    def expected(self) -> str:
        """A value that only the tests of a job know, for a candidate to find."""
        value = f"ys-secret-{secrets.token_hex(16)}"
        self.secrets[value] = "the tests"
        return value

    def mark(self, number: int) -> str:
        """Of an attack: names its processes, its files, and what it sends."""
        return f"ys{self._run}-{number}"[:_MARK_BYTES]

    def given(self, mark: str, **more: Any) -> dict[str, Any]:
        """What an attacker may know; no secret is in it."""
        file = self._folder / "file"
        return {
            "mark": mark,
            "host": os.getpid(),
            "victim": self._victim.pid,
            "place": self._victim.place,
            "scratch": self._victim.scratch,
            "file": str(file),
            "inode": file.stat().st_ino,
            "folder": str(self._folder / "open"),
            "tcp": self._listeners["tcp"].getsockname()[1],
            "udp": self._listeners["udp"].getsockname()[1],
            "abstract": f"yardstick-{self._run}",
            "socket": str(self._folder / "open" / "socket"),
            "forks": 3_000,
            "alone": False,
            "slots": self.servers,
            **more,
        }

    def evidence(self, mark: str) -> list[str]:
        """What was reached by the attack of that mark, each as a sentence; what can't be told apart is anyone's."""
        with self._lock:
            self._arrived += self._connections()
            mine = [name for name, data in self._arrived if mark.encode() in data or not data]
            self._arrived = [pair for pair in self._arrived if mark.encode() not in pair[1] and pair[1]]
        found = [f"reached the host's {name}" for name in mine]
        found += [f"made {path.name} in the host's folder" for path in (self._folder / "open").glob(f"{mark}*")]
        found += [f"left process {pid}" for pid in processes_named(mark)]
        return [*found, *self._harm()]

    def _harm(self) -> Iterator[str]:
        yield from self._victim.harm()
        yield from (f"killed process {pid} of a slot" for pid in self.servers if not (lives(pid) or pid in self.busy))
        writable = self._folder / "open" / "writable"
        if (
            not writable.exists()
            or writable.read_text() != "untouched"
            or writable.stat().st_mode != self._mode.st_mode
        ):
            yield "changed a file of the host"
        if (self._folder / "file").read_text() != self._file:
            yield "changed a file of the host"

    def _listen(self) -> Mapping[str, socket.socket]:
        listeners = {
            "tcp": socket.socket(),
            "udp": socket.socket(type=socket.SOCK_DGRAM),
            "abstract socket": socket.socket(socket.AF_UNIX),
            "abstract datagram socket": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
            "socket file": socket.socket(socket.AF_UNIX),
        }
        listeners["tcp"].bind(("127.0.0.1", 0))
        listeners["udp"].bind(("127.0.0.1", 0))
        listeners["abstract socket"].bind(f"\0yardstick-{self._run}")
        listeners["abstract datagram socket"].bind(f"\0yardstick-{self._run}-datagrams")
        listeners["socket file"].bind(str(self._folder / "open" / "socket"))
        (self._folder / "open" / "socket").chmod(0o666)
        for listener in listeners.values():
            listener.setblocking(False)
            if listener.type == socket.SOCK_STREAM:
                listener.listen(64)
        return listeners

    def _connections(self) -> Iterator[tuple[str, bytes]]:
        """What has arrived at each listener, with the data that came (empty for a bare connection)."""
        for name, listener in self._listeners.items():
            while True:
                try:
                    if listener.type == socket.SOCK_DGRAM:
                        yield name, listener.recv(64) or b""
                        continue
                    link, _ = listener.accept()
                except BlockingIOError:
                    break
                with link:
                    link.settimeout(0.2)
                    try:
                        yield name, link.recv(64)
                    except OSError:
                        yield name, b""


def processes_named(mark: str) -> list[int]:
    """Those that still run, of any user."""
    return [pid for pid, name, state, _ in _processes() if name == mark and state not in "ZX"]


def lives(pid: int) -> bool:
    """Whether that process still runs."""
    process = _process(Path("/proc", str(pid)))
    return process is not None and process[2] not in "ZX"


def _processes() -> Iterator[tuple[int, str, str, int]]:
    """All of this machine."""
    return filter(None, map(_process, Path("/proc").glob("[0-9]*")))


def _process(folder: Path) -> tuple[int, str, str, int] | None:
    """Number, name, state, parent; None if it has gone."""
    try:
        text = (folder / "stat").read_text(errors="replace")
    except OSError:
        return None
    start, _, end = text.rpartition(")")
    state, parent = end.split()[:2]
    return int(folder.name), start.partition("(")[2], state, int(parent)
