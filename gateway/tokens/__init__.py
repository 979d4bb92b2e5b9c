"""How long prompts are in tokens: bounds, estimates and counts, each at the least cost that answers the question."""

from __future__ import annotations

from gateway.tokens.bound import text_bound
from gateway.tokens.counter import Counter
from gateway.tokens.media import find_media
from gateway.tokens.pool import Remote, Tokens
from gateway.tokens.source import load_counter

__all__ = ["Counter", "Remote", "Tokens", "find_media", "load_counter", "text_bound"]
