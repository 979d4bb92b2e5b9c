"""A pool in virtual time: what a request waits, alone and beside others."""

from __future__ import annotations

import pytest

from gateway.engines.simulated.presets import PRESETS
from gateway.engines.simulated.replay import Arrival, percentile, replay
from gateway.engines.simulated.scheduler import SchedulerSettings

SPEED = PRESETS["codegeex4-9b-h100"].step_time
SETTINGS = SchedulerSettings(num_blocks=4097, max_model_len=32_768, prefix_caching=False)


def test_a_request_alone_waits_for_its_own_prefill_and_steps() -> None:
    waits = replay([Arrival(1.0, 20_000, 3)], 1, SETTINGS, SPEED)
    assert waits.ttft == [pytest.approx(SPEED.prefill(20_000, 8192))]
    assert waits.itl == [pytest.approx(SPEED.decode(20_000)), pytest.approx(SPEED.decode(20_001))]


def test_a_second_server_takes_what_would_wait() -> None:
    arrivals = [Arrival(0.0, 30_000, 50), Arrival(0.1, 8_000, 5)]
    one, two = (replay(arrivals, servers, SETTINGS, SPEED) for servers in (1, 2))
    assert sorted(two.ttft) == pytest.approx(sorted(SPEED.prefill(tokens, 8192) for tokens in (30_000, 8_000)))
    assert max(one.ttft) > max(two.ttft)


def test_every_token_is_answered_also_where_the_cache_is_too_small_for_all() -> None:
    waits = replay([Arrival(0.01 * number, 6_000, 400) for number in range(40)], 1, SETTINGS, SPEED)
    assert (len(waits.ttft), len(waits.itl)) == (40, 40 * 399)


def test_what_no_server_could_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="32,768 tokens"):
        replay([Arrival(0.0, 32_768, 1)], 1, SETTINGS, SPEED)


@pytest.mark.parametrize(("share", "found"), [(0.5, 2), (0.51, 3), (0.99, 4), (0.01, 1)])
def test_a_percentile_is_a_value_that_the_share_does_not_exceed(share: float, found: float) -> None:
    assert percentile([4, 1, 3, 2], share) == found
    assert percentile([], share) == 0
