"""How long steps take: by hand, and whatever the chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.simulated.presets import PRESETS
from gateway.engines.simulated.step_time import StepTime

TIME = StepTime(weight_read=0.010, fixed=0.001, per_token=1e-5, per_pair=1e-9, per_context=1e-7)


@pytest.mark.parametrize(
    ("shares", "seconds"),
    [
        ([(1, 0)], 0.010),  # one token: the weights have to be read
        ([(1, 1000)], 0.010 + 1e-4),  # and its context
        ([(1, 1000), (1, 500)], 0.010 + 1.5e-4),
        ([(2000, 0)], 0.021 + 2e-9 * 2000 * 1000),  # a prompt: arithmetic takes longer than reading
        ([(2000, 3000)], 0.021 + 2e-9 * 2000 * 4000),
        ([(2000, 3000), (1, 1000)], 0.001 + 2001e-5 + 2e-9 * 2000 * 4000 + 1e-4),
        ([], 0.010),
    ],
)
def test_by_hand(shares: list[tuple[int, int]], seconds: float) -> None:
    assert TIME.seconds(shares) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(("tokens", "seconds"), [(2_048, 0.08), (8_192, 0.35), (32_768, 1.7), (131_072, 12.3)])
def test_the_dense_40b_on_four_gpus(tokens: int, seconds: float) -> None:
    """The figures that this model of time was fitted to (themselves computed, at half of the peak FLOPS)."""
    dense = PRESETS["iquest-40b-tp4-h100"].step_time
    assert dense.prefill(tokens, 8192) == pytest.approx(seconds, rel=0.02)
    assert dense.prefill(tokens, 8192) == pytest.approx(38.6e-6 * tokens + 4.2e-10 * tokens**2, rel=0.02)


def test_a_constant_rate_would_be_wrong() -> None:
    """From 8K on, it says less than half of what 128K take."""
    dense = PRESETS["iquest-40b-tp4-h100"].step_time
    assert 16 * dense.prefill(8_192, 8192) == pytest.approx(5.6, rel=0.02)
    assert dense.prefill(131_072, 8192) > 2 * 16 * dense.prefill(8_192, 8192)


@given(prompt=st.integers(2, 100_000), cut=st.integers(1, 99_999))
def test_attention_does_not_depend_on_the_chunks(prompt: int, cut: int) -> None:
    attention = StepTime(weight_read=0, fixed=0, per_token=0, per_pair=1e-9, per_context=0)
    first = max(2, min(cut, prompt - 2))
    chunks = [(first, 0), (prompt - first, first)] if 2 <= first <= prompt - 2 else [(prompt, 0)]
    assert sum(attention.seconds([chunk]) for chunk in chunks) == pytest.approx(1e-9 * prompt**2)


@pytest.mark.parametrize("wrong", [-1.0, float("inf"), float("nan")])
def test_a_coefficient_is_a_time(wrong: float) -> None:
    with pytest.raises(ValueError, match="per_pair must be a number of seconds"):
        StepTime(weight_read=0.01, fixed=0, per_token=0, per_pair=wrong, per_context=0)
