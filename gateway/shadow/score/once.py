"""Work that is done once for each key, however many threads ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Once(Generic[Key, Value]):
    """Others wait for the one that works; what it raises is raised to all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: dict[Key, Future[Value]] = {}

    def get(self, key: Key, work: Callable[[], Value]) -> Value:
        with self._lock:
            future = self._done.get(key)
            mine = future is None
            if future is None:
                future = self._done[key] = Future()
        if mine:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
        return future.result()
