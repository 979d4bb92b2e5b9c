"""The gate is as seldom wrong as it claims: a short form of `measure.py`, with bounds four standard errors wide."""

from __future__ import annotations

from math import sqrt

import pytest

from gateway.shadow.gate.decision import Answer
from tests.gateway.shadow.gate.measure import answers

RUNS = 40
MOST = 0.05 + 4 * sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize(("deficits", "icc"), [((0.0, 0.0), 0.6), ((0.05, -0.2), 0.3)])
def test_wrong_answers_are_rare_when_looked_at_after_every_draw(deficits: tuple[float, float], icc: float) -> None:
    shares = answers(deficits, icc, RUNS, 500, seed=1)
    assert shares.violated < MOST
    assert shares.holds < MOST or deficits == (0.0, 0.0)


def test_a_large_deficit_is_found() -> None:
    shares = answers((0.2, 0.0), 0.3, 20, 3000, seed=1, until=Answer.VIOLATED)
    assert shares.violated >= 0.9
