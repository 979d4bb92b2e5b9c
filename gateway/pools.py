"""The pools: interchangeable endpoints that serve one model, and what is known of its prompts' lengths."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

import msgspec

from gateway.config import PoolSettings
from gateway.families import Model
from gateway.tokens import Tokens
from gateway.upstream import Endpoint
from routing.health import Conduct, EjectionRule
from routing.length import PoolFacts
from routing.pick import available, pick

_USUAL_EJECTION = EjectionRule()


class Pool:
    """One model's endpoints. ``defaults`` are request fields added where the client left them out.

    ``draw(n)``, a random number below n, is for a process that does not see all of the load: see `routing.pick.pick`.
    ``report`` gets a line when an endpoint is ejected.
    """

    def __init__(
        self,
        settings: PoolSettings,
        model: Model,
        endpoints: list[Endpoint],
        tokens: Tokens,
        *,
        ejection: EjectionRule = _USUAL_EJECTION,
        draw: Callable[[int], int] | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.model = model
        self.name = model.name
        self.endpoints = endpoints
        self.tokens = tokens
        self.told_of_tools = settings.tools
        self.affinity = settings.affinity and len(endpoints) > 1
        self._turn = 0
        self._ejection = ejection
        self._draw = draw
        self._report = report
        self._configured_window = settings.window
        self._facts: PoolFacts | None = None
        self._window = 0
        self.defaults = encode_members(model.defaults if settings.defaults is None else settings.defaults)
        self.settle_window()

    @property
    def window(self) -> int:
        """Tokens of prompt and output: the config's, else the smaller of the family's and what the endpoints say."""
        return self._window

    def settle_window(self) -> None:
        """To be called when an endpoint has said something new."""
        reported = [endpoint.window for endpoint in self.endpoints if endpoint.window is not None]
        self._window = self._configured_window or min([self.model.pool_window, *reported])
        self._facts = None

    @property
    def calls_tools(self) -> bool:
        """Whether all of its servers parse tool calls: the config's word, else theirs, else what is usual."""
        if self.told_of_tools is not None:
            return self.told_of_tools
        usual = self.model.calls_tools
        return all(usual if endpoint.calls_tools is None else endpoint.calls_tools for endpoint in self.endpoints)

    @property
    def facts(self) -> PoolFacts:
        facts, tokens = self._facts, self.tokens
        if facts is None or facts.bytes_per_token != tokens.bytes_per_token:
            facts = PoolFacts(self.name, self._window, tokens.expansion, tokens.overhead, tokens.bytes_per_token)
            self._facts = facts
        return facts

    @property
    def up(self) -> bool:
        return any(endpoint.up for endpoint in self.endpoints)

    def pick(self, now: float, affinity: int | None = None, tried: Container[Endpoint] = ()) -> Endpoint | None:
        """The endpoint for an attempt, None if none is left. Hot prompts may fill one window more than their share."""
        self._turn += 1
        candidates = available(self.endpoints, now, tried)
        return pick(candidates, turn=self._turn, affinity=affinity, slack=self._window, draw=self._draw)

    def has_free(self, now: float, tried: Container[Endpoint]) -> bool:
        """Whether an endpoint that was not tried takes requests and has not said that it is busy."""
        return any(endpoint.health.held_until <= now for endpoint in available(self.endpoints, now, tried))

    def judge(self, endpoint: Endpoint, conduct: Conduct, now: float, *, seconds: float = 1.0) -> None:
        """Takes note of how an attempt went. ``seconds``: how long a busy endpoint asks to be left alone."""
        health = endpoint.health
        if conduct is Conduct.ANSWERED:
            health.answered()
        elif conduct is Conduct.BUSY:
            health.busy(now, seconds)
        elif conduct is Conduct.FAILED:
            out = sum(not each.up or each.health.ejected_until > now for each in self.endpoints if each is not endpoint)
            if health.failed(now, self._ejection, out, len(self.endpoints)):
                endpoint.ejections += 1
                left = health.ejected_until - now
                self._report(f"{self.name}: {endpoint.address} is ejected for {left:g} s: it failed again and again")


def encode_members(fields: Mapping[str, Any]) -> tuple[tuple[str, bytes], ...]:
    """Each field as the bytes of a JSON member."""
    return tuple(
        (name, msgspec.json.encode(name) + b":" + msgspec.json.encode(value)) for name, value in fields.items()
    )
