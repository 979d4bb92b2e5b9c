"""A real PostgreSQL of the tests' own: Debian's binaries, a cluster in a folder that goes away, no port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

_DEADLINE = 60.0


def binaries() -> Path | None:
    """The newest that are installed; those of Debian are not in PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Server:
    """Started by `start`; `kill` is SIGKILL, after which `start` recovers. It listens on a socket in its folder."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="ys-pg-"))  # a socket's path must be short
        self.data = self.folder / "data"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            names = {user.pw_name: user for user in pwd.getpwall()}
            user = names.get("postgres") or names["nobody"]
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        deadline = time.monotonic() + _DEADLINE
        while True:
            if self._process is None or self._process.poll() is not None:
                # After a kill, children of the former one still have to notice; until then it refuses to start.
                self._process = self._spawn()
            try:
                psycopg.connect(self._conninfo).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise AssertionError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.05)

    def kill(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """To all its processes."""
        assert self._process
        pid = self._process.pid
        for each in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
            os.kill(each, number)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_DEADLINE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def empty_database(self) -> str:
        """Its URL. It is always the same one, emptied, which costs much less than another."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '20s'")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def value(self, query: str) -> Any:
        """The first of the first row."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None

    @property
    def _conninfo(self) -> str:
        return f"host={self.folder} user=postgres dbname=postgres"

    def _spawn(self) -> subprocess.Popen[bytes]:
        # What a process has written survives its death without fsync, which is for machines that die.
        settings = ("listen_addresses=", "shared_buffers=16MB", "max_connections=40", "fsync=off")
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(self._binaries / "postgres"), "-D", str(self.data), "-k", str(self.folder), *options]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._as)

    def _run(self, name: str, *arguments: object) -> None:
        command = [str(self._binaries / name), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, check=False, **self._as)
        assert done.returncode == 0, done.stderr
