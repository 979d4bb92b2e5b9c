"""The pools: interchangeable endpoints that serve one model, and what is known of its prompts' lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.config import PoolSettings
from gateway.families import Model
from gateway.tokens import Tokens
from gateway.upstream import Endpoint
from routing.length import PoolFacts


class Pool:
    """One model's endpoints. ``defaults`` are request fields added where the client left them out."""

    def __init__(self, settings: PoolSettings, model: Model, endpoints: list[Endpoint], tokens: Tokens) -> None:
        self.model = model
        self.name = model.name
        self.endpoints = endpoints
        self.tokens = tokens
        self.turn = 0
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
    def facts(self) -> PoolFacts:
        facts, tokens = self._facts, self.tokens
        if facts is None or facts.bytes_per_token != tokens.bytes_per_token:
            facts = PoolFacts(self.name, self._window, tokens.expansion, tokens.overhead, tokens.bytes_per_token)
            self._facts = facts
        return facts

    @property
    def up(self) -> bool:
        return any(endpoint.up for endpoint in self.endpoints)


def encode_members(fields: Mapping[str, Any]) -> tuple[tuple[str, bytes], ...]:
    """Each field as the bytes of a JSON member."""
    return tuple(
        (name, msgspec.json.encode(name) + b":" + msgspec.json.encode(value)) for name, value in fields.items()
    )
