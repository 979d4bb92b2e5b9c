"""Asks each endpoint's /v1/models what it serves: its name for the model, and its window. Servers may come late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from gateway.pools import Pool
from gateway.upstream import Endpoint, Upstream
from gateway.upstream_connection import Broken, Unsent

PERIOD_DOWN = 0.5  # seconds between looks at an endpoint that does not answer
PERIOD_UP = 5.0

Report = Callable[[str], None]


class Discovery:
    """Keeps `Endpoint.up`, its served name and its window true. ``report`` gets a line whenever one changes."""

    def __init__(self, pools: list[Pool], upstream: Upstream, report: Report) -> None:
        self._pools = pools
        self._upstream = upstream
        self._report = report
        self._said: dict[Endpoint, str] = {}

    async def look_once(self) -> None:
        async with asyncio.TaskGroup() as group:
            for pool in self._pools:
                for endpoint in pool.endpoints:
                    group.create_task(self._look(pool, endpoint))

    async def keep_looking(self) -> None:
        async with asyncio.TaskGroup() as group:
            for pool in self._pools:
                for endpoint in pool.endpoints:
                    group.create_task(self._follow(pool, endpoint))

    async def _follow(self, pool: Pool, endpoint: Endpoint) -> None:
        while True:
            await asyncio.sleep(PERIOD_UP if endpoint.up else PERIOD_DOWN)
            await self._look(pool, endpoint)

    async def _look(self, pool: Pool, endpoint: Endpoint) -> None:
        try:
            status, body = await self._upstream.fetch(endpoint, "GET", "/v1/models")
            if status != 200:
                raise Broken(f"GET /v1/models answered {status}")
            served, window = choose_served(body, pool.name, endpoint.configured_name)
        except (Unsent, Broken, TimeoutError) as error:
            endpoint.up = False
            self._say(endpoint, f"{pool.name}: {endpoint.address} is down: {error or 'no answer in time'}")
            return
        endpoint.served_json = msgspec.json.encode(served)
        endpoint.window = window
        pool.settle_window()
        endpoint.up = True
        shown = f"{window:,} tokens" if window else "unknown"
        self._say(
            endpoint, f"{pool.name} -> {endpoint.address} serves {served!r}, window {shown} (used: {pool.window:,})"
        )

    def _say(self, endpoint: Endpoint, line: str) -> None:
        if self._said.get(endpoint) != line:
            self._said[endpoint] = line
            self._report(line)


def choose_served(body: bytes, model: str, configured: str | None) -> tuple[str, int | None]:
    """The served name and window in a /v1/models answer. Raises `Broken` where that is not clear."""
    try:
        cards = {str(card["id"]): card for card in msgspec.json.decode(body)["data"]}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise Broken("GET /v1/models did not answer with a list of models") from None
    wanted = configured or model
    same = [name for name in cards if name == wanted] or [
        name for name in cards if name.lower().rpartition("/")[2] == wanted.lower()
    ]
    if not same and configured is None and len(cards) == 1:
        same = list(cards)
    if len(same) != 1:
        raise Broken(f"it serves {sorted(cards)}, none of which is {wanted!r}: set `served_name`")
    window = cards[same[0]].get("max_model_len")
    return same[0], window if isinstance(window, int) and window > 0 else None
