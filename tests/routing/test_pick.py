"""Which endpoint is picked."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from routing.health import Health
from routing.pick import BOUND, available, pick

NOW = 1000.0


@dataclass(eq=False)
class Place:
    up: bool = True
    load: int = 0
    salt: int = 0
    health: Health = field(default_factory=Health)


def health(ejected: bool, held: bool) -> Health:
    found = Health()
    found.ejected_until = NOW + 1 if ejected else NOW - 1
    found.held_until = NOW + 1 if held else 0.0
    return found


salts = st.integers(0, 2**64 - 1)
places = st.builds(
    Place, st.booleans(), st.integers(0, 200_000), salts, st.builds(health, st.booleans(), st.booleans())
)
pools = st.lists(places, max_size=8, unique_by=lambda place: place.salt)
able = st.lists(
    st.builds(Place, load=st.integers(0, 200_000), salt=salts), min_size=1, max_size=8, unique_by=lambda p: p.salt
)


@given(pools, st.data())
def test_none_that_is_down_ejected_or_tried_is_available_and_the_busy_only_if_all_are(pool, data):
    tried = data.draw(st.sets(st.sampled_from(pool))) if pool else set()
    found = available(pool, NOW, tried)
    fit = [place for place in pool if place.up and place.health.ejected_until <= NOW and place not in tried]
    assert set(map(id, found)) <= set(map(id, fit))
    assert bool(found) == bool(fit)
    free = [place for place in fit if place.health.held_until <= NOW]
    assert found == (free or fit)


@given(able, st.integers(0, 1000))
def test_the_least_loaded_gets_it(pool, turn):
    picked = pick(pool, turn=turn)
    assert picked is not None
    assert picked.load == min(place.load for place in pool)


def test_nobody_is_picked_of_none():
    assert pick([]) is None


@given(st.integers(2, 8), st.integers(0, 1000))
def test_an_idle_pool_is_used_evenly(size, start):
    pool = [Place(salt=number) for number in range(size)]
    picked = [pick(pool, turn=start + step) for step in range(size)]
    assert set(map(id, picked)) == set(map(id, pool))


@given(able, st.integers(0, 2**32 - 1), st.integers(0, 50_000))
def test_affinity_never_goes_to_a_hot_endpoint(pool, affinity, slack):
    picked = pick(pool, affinity=affinity, slack=slack)
    assert picked is not None
    mean = sum(place.load for place in pool) / len(pool)
    assert picked.load <= max(BOUND * mean + slack, min(place.load for place in pool))


@given(st.lists(salts, min_size=2, max_size=8, unique=True), st.integers(0, 2**32 - 1), st.data())
def test_an_endpoint_that_goes_moves_only_its_own_prompts(found_salts, affinity, data):
    pool = [Place(salt=salt) for salt in found_salts]
    before = pick(pool, affinity=affinity)
    gone = data.draw(st.sampled_from(pool))
    after = pick([place for place in pool if place is not gone], affinity=affinity)
    if before is not gone:
        assert after is before


def test_affinity_spreads_prompts_over_the_pool():
    draw = random.Random(7)
    pool = [Place(salt=draw.getrandbits(64)) for _ in range(4)]
    shares = Counter(id(pick(pool, affinity=draw.getrandbits(32))) for _ in range(4000))
    assert len(shares) == 4
    assert all(800 < share < 1200 for share in shares.values())  # 1000 +- 7 standard deviations


@given(st.integers(2, 6), st.lists(st.tuples(st.integers(1, 20_000), st.integers(0, 3)), max_size=60))
def test_load_stays_bounded_however_alike_the_prompts_are(size, requests):
    """Nothing ends here, and few beginnings are shared by all: no endpoint gets far beyond its share."""
    pool = [Place(salt=number * 7919) for number in range(size)]
    slack = 8192
    for weight, affinity in requests:
        picked = pick(pool, affinity=affinity, slack=slack)
        assert picked is not None
        picked.load += weight
        mean = sum(place.load for place in pool) / size
        assert picked.load <= BOUND * mean + slack + weight


@given(able, st.randoms(use_true_random=False))
def test_of_two_drawn_the_less_loaded_gets_it(pool, randomness):
    drawn: list[int] = []

    def draw(below: int) -> int:
        drawn.append(randomness.randrange(below))
        return drawn[-1]

    picked = pick(pool, draw=draw)
    assert picked is not None
    if len(pool) > 1:
        one, step = drawn
        pair = [pool[one], pool[(one + 1 + step) % len(pool)]]
        assert pair[0] is not pair[1]
        assert picked.load == min(place.load for place in pair)
        assert picked in pair
