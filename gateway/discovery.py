"""Probes each endpoint: is it well (/health), and what does it serve (/v1/models): its name for the model, and its
window; and whether it parses tool calls. Servers may come late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from gateway.config import ProbeSettings
from gateway.pools import Pool
from gateway.upstream import Endpoint, Upstream
from gateway.upstream_connection import Broken, Unsent

_NO_SUCH_ROUTE = (404, 405, 501)  # a server without /health is asked for its models only

# vLLM says nowhere whether it has a tool parser, but refuses this for the lack of one before it looks at anything else
# (0.32: after the model's name, before messages and max_tokens, which are both refused too). Nothing is generated.
_TOOLS_QUESTION = {
    "messages": [],
    "max_tokens": 0,
    "tools": [{"type": "function", "function": {"name": "yardstick_probe"}}],
    "tool_choice": "auto",
}
_WITHOUT_PARSER = b"--tool-call-parser"
_PAST_PARSER = (b"empty conversation", b"max_tokens")

Report = Callable[[str], None]


class Discovery:
    """Keeps `Endpoint.up`, its served name and its window true. ``report`` gets a line whenever one changes.

    An endpoint is down at once if it refuses connections, and after a few failed probes in a row if it is slow to
    answer or answers wrongly: one that is busy with a long prompt must not be given up for it.
    """

    def __init__(self, pools: list[Pool], upstream: Upstream, report: Report, probes: ProbeSettings) -> None:
        self._pools = pools
        self._upstream = upstream
        self._report = report
        self._probes = probes
        self._said: dict[Endpoint, str] = {}
        self._failed: dict[Endpoint, int] = {}

    def follow_on(self, before: Discovery) -> None:
        """Takes the place of another: what that one has reported is known."""
        self._said.update(before._said)

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
            await asyncio.sleep(self._probes.period if endpoint.up else self._probes.period_down)
            await self._look(pool, endpoint)

    async def _look(self, pool: Pool, endpoint: Endpoint) -> None:
        try:
            await self._ask_health(endpoint)
            served, window = choose_served(await self._ask_models(endpoint), pool.name, endpoint.configured_name)
        except (Unsent, Broken, TimeoutError) as error:
            endpoint.probes_down += 1
            self._note_failure(pool, endpoint, error)
            return
        endpoint.probes_up += 1
        self._failed[endpoint] = 0
        endpoint.served_json = msgspec.json.encode(served)
        endpoint.window = window
        if not endpoint.up and pool.told_of_tools is None and pool.model.chat_template is not None:
            endpoint.calls_tools = await self._ask_tools(endpoint, served)
        pool.settle_window()
        endpoint.up = True
        shown = f"{window:,} tokens" if window else "unknown"
        self._say(
            endpoint, f"{pool.name} -> {endpoint.address} serves {served!r}, window {shown} (used: {pool.window:,})"
        )

    async def _ask_health(self, endpoint: Endpoint) -> None:
        status, _ = await self._upstream.fetch(endpoint, "GET", "/health", seconds=self._probes.timeout)
        if status != 200 and status not in _NO_SUCH_ROUTE:
            raise Broken(f"GET /health answered {status}")

    async def _ask_models(self, endpoint: Endpoint) -> bytes:
        status, body = await self._upstream.fetch(endpoint, "GET", "/v1/models", seconds=self._probes.timeout)
        if status != 200:
            raise Broken(f"GET /v1/models answered {status}")
        return body

    async def _ask_tools(self, endpoint: Endpoint, served: str) -> bool | None:
        """None if its answer does not tell."""
        body = msgspec.json.encode({"model": served, **_TOOLS_QUESTION})
        try:
            status, answer = await self._upstream.fetch(
                endpoint, "POST", "/v1/chat/completions", body, seconds=self._probes.timeout
            )
        except (Unsent, Broken, TimeoutError):
            return None
        if status != 400:
            return None
        if _WITHOUT_PARSER in answer:
            return False
        return True if any(text in answer for text in _PAST_PARSER) else None

    def _note_failure(self, pool: Pool, endpoint: Endpoint, error: Exception) -> None:
        failed = self._failed[endpoint] = self._failed.get(endpoint, 0) + 1
        if endpoint.up and failed < self._probes.failures and not isinstance(error, Unsent):
            return
        endpoint.up = False
        self._say(endpoint, f"{pool.name}: {endpoint.address} is down: {error or 'no answer in time'}")

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
