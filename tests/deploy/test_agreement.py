"""What counts as agreement between a panel and the client: neither too little nor everything."""

from __future__ import annotations

import math

import pytest

from tests.deploy.agreement import agrees, latency, length
from tests.deploy.observed import Measured

BOUNDS = (0.01, 0.1, 1.0, 10.0, math.inf)
TTFT, CHUNK = "yardstick_time_to_first_chunk_seconds", "yardstick_time_per_output_chunk_seconds"


def measured(seconds: float, model: str = "a", tokens: int = 100) -> Measured:
    return Measured(model, seconds, seconds * 2, seconds, tokens, 1)


@pytest.mark.parametrize(
    ("shown", "fine"),
    [(0.05, True), (0.011, True), (0.009, True), (0.5, False), (0.0009, True), (5.0, False)],
)
def test_the_same_bucket_or_the_one_below_the_clients(shown: float, fine: bool) -> None:
    """0.05 s by the client's clock: a gateway that says 0.009 may be right, and one that says 0.5 is not."""
    problem = agrees(shown, 0.5, TTFT, BOUNDS, {}, [measured(0.05)] * 20)
    assert (problem == "") == fine, problem


def test_far_below_is_no_agreement() -> None:
    assert "0.05 s is shown; measured: 5 to 5 s of 20" in agrees(0.05, 0.5, TTFT, BOUNDS, {}, [measured(5.0)] * 20)


def test_the_slowest_may_have_waited_for_a_cpu() -> None:
    for quantile, fine in ((0.5, False), (0.95, True)):
        assert (agrees(0.05, quantile, TTFT, (0.06, 0.08, math.inf), {}, [measured(0.3)] * 6) == "") == fine
    assert agrees(0.05, 0.95, TTFT, (0.06, 0.08, math.inf), {}, [measured(0.4)] * 6)


def test_a_time_per_chunk_may_be_three_times_the_clients() -> None:
    for metric, fine in ((CHUNK, True), (TTFT, False)):
        assert (agrees(0.15, 0.5, metric, BOUNDS, {}, [measured(0.05)] * 20) == "") == fine
    assert agrees(1.5, 0.5, CHUNK, BOUNDS, {}, [measured(0.05)] * 20)


def test_a_quantile_is_compared_with_its_own_rank() -> None:
    values = [measured(0.05)] * 80 + [measured(5.0)] * 20
    assert agrees(0.05, 0.5, TTFT, BOUNDS, {}, values) == ""
    assert agrees(5.0, 0.5, TTFT, BOUNDS, {}, values)
    assert agrees(5.0, 0.95, TTFT, BOUNDS, {}, values) == ""
    assert agrees(0.05, 0.95, TTFT, BOUNDS, {}, values)


def test_only_what_has_a_series_labels_is_compared_with_it() -> None:
    values = [measured(0.05, "a", 100), measured(5.0, "b", 100), measured(0.5, "a", 5_000)]
    assert agrees(0.05, 0.5, TTFT, BOUNDS, {"model": "a", "length": "1024"}, values) == ""
    assert agrees(0.05, 0.5, TTFT, BOUNDS, {"model": "b"}, values)
    assert agrees(0.5, 0.5, TTFT, BOUNDS, {"length": "8192"}, values) == ""
    assert "nothing was measured" in agrees(0.5, 0.5, TTFT, BOUNDS, {"length": "more"}, values)


@pytest.mark.parametrize(("tokens", "label"), [(1, "1024"), (1_024, "1024"), (1_025, "4096"), (131_073, "more")])
def test_lengths_have_the_registrys_labels(tokens: int, label: str) -> None:
    assert length(tokens) == label


def test_latencies_are_known_by_their_expression() -> None:
    expression = f"histogram_quantile(0.95, sum by (le, model) (rate({TTFT}_bucket{{model=~'.*'}}[5m]))) >= 0"
    assert latency(expression) == (0.95, TTFT)
    for other in (
        "rate(yardstick_requests_total[1m])",
        "histogram_quantile(0.5, rate(yardstick_overhead_seconds_bucket[1m]))",
    ):
        assert latency(other) == (0.0, "")
