"""Which endpoint is picked."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from routing.pick import pick


@dataclass(eq=False)
class Place:
    up: bool
    in_flight: int


pools = st.lists(st.builds(Place, st.booleans(), st.integers(0, 5)), max_size=8)


@given(pools, st.integers(0, 1000), st.data())
def test_picks_the_least_loaded_that_is_up_and_untried(pool, turn, data):
    tried = data.draw(st.sets(st.sampled_from(pool))) if pool else set()
    picked = pick(pool, turn, tried)
    left = [place for place in pool if place.up and place not in tried]
    if not left:
        assert picked is None
    else:
        assert picked in left
        assert picked.in_flight == min(place.in_flight for place in left)


@given(st.integers(1, 8), st.integers(0, 1000))
def test_an_idle_pool_is_used_evenly(size, start):
    pool = [Place(True, 0) for _ in range(size)]
    picked = [pick(pool, start + step) for step in range(size)]
    assert set(map(id, picked)) == set(map(id, pool))
