"""Deletes what is too old, whoever scores: with `scorers: 0`, and where nothing can be scored, nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.shadow.store import Store, StoreUnavailable

EVERY = 3_600.0
_AGAIN = 60.0


async def expire(store: Store, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """At once, then every hour, until it is cancelled; a store that is away is asked again after a minute."""
    while True:
        try:
            await asyncio.to_thread(store.expire)
        except StoreUnavailable:
            await sleep(_AGAIN)
        else:
            await sleep(EVERY)
