"""Work that is done once for each key, however many threads ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Once(Generic[Key, Value]):
    """Others wait for the one that works; what it raises is raised to all who wait, and the next one who asks works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: dict[Key, Future[Value]] = {}

    def get(self, key: Key, work: Callable[[], Value], *, keep: Callable[[Value], bool] = lambda _: True) -> Value:
        """``keep``: whether it was worth doing; if not, it is done again for the next one who asks."""
        with self._lock:
            future = self._done.get(key)
            mine = future is None
            if future is None:
                future = self._done[key] = Future()
        if mine:
            try:
                future.set_result(work())
            except BaseException as error:
                self._forget(key)
                future.set_exception(error)
        value = future.result()
        if mine and not keep(value):
            self._forget(key)
        return value

    def _forget(self, key: Key) -> None:
        with self._lock:
            del self._done[key]
