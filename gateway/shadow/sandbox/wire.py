"""The host's end of a slot's socket and of a job's report."""

from __future__ import annotations

import fcntl
import json
import os
from typing import Any

_MOST = 1 << 20
_CHUNK = 1 << 16


def sealed(name: str, content: bytes) -> int:
    """A descriptor of a memory file that nobody can change any more."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class ReportReader:
    """Reads what a job reports, up to a megabyte; then it hangs up, and the job gets SIGPIPE or an error."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._content = bytearray()
        self._too_much = False

    def fileno(self) -> int | None:
        """None once there is nothing more to read."""
        return self._descriptor

    def read(self) -> None:
        """Take what is there, without waiting."""
        while self._descriptor is not None:
            try:
                chunk = os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                return
            self._content += chunk
            self._too_much = len(self._content) > _MOST
            if not chunk or self._too_much:
                self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def lines(self) -> tuple[tuple[dict[str, Any], ...], bool]:
        """The JSON objects so far, and whether there was anything else."""
        lines: list[dict[str, Any]] = []
        garbled = self._too_much
        *whole, rest = bytes(self._content[:_MOST]).split(b"\n")
        for text in whole:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                line = None
            if not isinstance(line, dict):
                return tuple(lines), True
            lines.append(line)
        return tuple(lines), garbled or bool(rest)
