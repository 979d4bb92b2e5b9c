"""Planted worlds are recognised: a short form of `measure.py`."""

from __future__ import annotations

import pytest

from tests.gateway.shadow.threshold.measure import shares


@pytest.mark.parametrize("name", ["crossover", "tail limited", "dominance", "infeasible"])
def test_a_planted_world_is_recognised(name: str) -> None:
    found, _ = shares(name, runs=8)
    assert all(share >= 0.7 for share in found.values()), found


def test_what_is_not_allowed_is_seldom_recommended() -> None:
    found, _ = shares("flat", runs=30)
    assert min(found.values()) > 0.95 - 4 * (0.95 * 0.05 / 30) ** 0.5
