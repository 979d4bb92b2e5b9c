"""One JSON line for each request to a model, written by a thread: a full pipe must never stop the event loop."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator

_WAITING = 64  # batches; a batch is what came in one tick, so this is about 16 s of lines


class LineLog:
    """Collects lines and hands them to a writer thread at each `flush`. Drops, and counts, what nobody reads.

    ``at_once``: the bytes that are written whole where several processes write (`select.PIPE_BUF` for a pipe).
    """

    def __init__(self, descriptor: int, *, at_once: int | None = None) -> None:
        self._descriptor = descriptor
        self._at_once = at_once
        self._lines: list[bytes] = []
        self._batches: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self.dropped = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def append(self, lines: bytes) -> None:
        """Each with its end."""
        self._lines.append(lines)

    def flush(self) -> None:
        if not self._lines:
            return
        batch, self._lines = b"".join(self._lines), []
        try:
            self._batches.put_nowait(batch)
        except queue.Full:
            self.dropped += batch.count(b"\n")

    def close(self, seconds: float = 2.0) -> None:
        """Writes what is left, but does not wait longer than this for a reader."""
        self.flush()
        with contextlib.suppress(queue.Full):
            self._batches.put_nowait(None)
        self._thread.join(seconds)

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                for piece in [batch] if self._at_once is None else _pieces(batch, self._at_once):
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(self._descriptor, view) :]
            except OSError:  # nobody is there to read: the gateway goes on
                self.dropped += batch.count(b"\n")
            self._batches.task_done()

    def idle(self) -> bool:
        """Whether everything that was handed over has been written."""
        return not self._batches.unfinished_tasks


def _pieces(batch: bytes, size: int) -> Iterator[bytes]:
    """Whole lines, as many as ``size`` holds, at least one."""
    start = 0
    while start < len(batch):
        end = len(batch)
        if end - start > size:
            end = (batch.rfind(b"\n", start, start + size) + 1) or (batch.find(b"\n", start) + 1) or end
        yield batch[start:end]
        start = end
