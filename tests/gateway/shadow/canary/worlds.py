"""A plan, a small suite, live mixes and token counters for tests of canaries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from gateway.shadow.canary.design import Design, design
from gateway.shadow.canary.mix import EDGES, LiveMix
from gateway.shadow.canary.plan import Plan
from gateway.shadow.canary.prompt import OwnLengths, RoutingTokens, own_lengths
from gateway.shadow.match.matcher import Form
from gateway.shadow.suites.domains import DOMAIN_OF
from gateway.shadow.suites.load import load
from gateway.shadow.suites.task import Suite

FIRST = {"family": "codegeex", "model": "codegeex4-all-9b", "daily_tokens": 100_000}
SECOND = {"family": "iquest", "model": "iquest-coder-v1-40b-loop-instruct", "daily_tokens": 200_000}
BUCKETS = [{"up_to": 2_048, "weight": 0.6}, {"up_to": 8_192, "weight": 0.4}]

FIVE = load("five")


def plan(**settings: Any) -> Plan:
    """As it would come from a file: strict JSON."""
    return Plan.model_validate_json(
        json.dumps({"enabled": True, "first": FIRST, "second": SECOND, **settings}), strict=True
    )


def by_words(text: str) -> int:
    """Words, signs, and runs of blanks: adds up wherever a line ends."""
    return len(re.findall(r"\w+|[^\w\s]|\s+", text))


def by_characters(text: str) -> int:
    """Rounds up, so pieces count more than the whole."""
    return -(-len(text) // 3)


TOKENS = RoutingTokens(by_words, overhead=7)


def lengths_of(suite: Suite, count: Callable[[str], int] = by_words) -> OwnLengths:
    return own_lengths(suite, (Form.COMPLETE, Form.INSTRUCT), RoutingTokens(count, overhead=7))


FIVE_LENGTHS = lengths_of(FIVE)


def designed(settings: Mapping[str, Any], mix: LiveMix) -> Design:
    return design(plan(**settings), FIVE, FIVE_LENGTHS, mix)


_LIBRARIES = st.lists(st.sampled_from([*sorted(DOMAIN_OF), "a_secret_project"]), max_size=5)
_REQUESTS = st.tuples(st.integers(1, 2 * EDGES[-1]), _LIBRARIES, st.sampled_from(Form), st.integers(1, 1_000))


@st.composite
def mixes(draw: st.DrawFn) -> LiveMix:
    mix = LiveMix()
    for tokens, libraries, form, stands_for in draw(st.lists(_REQUESTS, max_size=12)):
        mix.observe(tokens, libraries, form, stands_for=stands_for)
    return mix
