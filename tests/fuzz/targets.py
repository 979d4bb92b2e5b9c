"""The checks by name, and how one input of the fuzzer becomes theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.fuzz import properties


class Input:
    """``data``, and the ``places`` at which reads cut it.

    A byte says how many places there are (up to four), two bytes each of them; the data follow.
    """

    def __init__(self, raw: bytes) -> None:
        count = raw[0] % 5 if raw else 0
        self.places = [int.from_bytes(raw[at : at + 2]) for at in range(1, 1 + 2 * count, 2)]
        self.data = raw[1 + 2 * count :]


Target = Callable[[Input, asyncio.AbstractEventLoop], None]
TARGETS: dict[str, Target] = {
    "request": lambda given, loop: properties.check_requests(given.data, given.places, loop),
    "body": lambda given, _: properties.check_body(given.data),
    "frames": lambda given, _: properties.check_frames(given.data, given.places),
    "answer": lambda given, loop: properties.check_answer(given.data, given.places, loop),
}
