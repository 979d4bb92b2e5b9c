"""Who is sampled: only who opted in, the same requests everywhere, in the share that was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.tap.sampling import Sampling, opted_out

RATES = st.floats(0, 1)


def ids(count: int) -> list[bytes]:
    return [b"%016x-%x" % (0x1234, number) for number in range(count)]


def test_nobody_is_sampled_by_default() -> None:
    sampling = Sampling()
    assert sampling.propensity("", "any") == sampling.propensity("alice", "any") == 0
    assert not any(sampling.takes(one, 0.0) for one in ids(1000))


def test_a_key_that_is_not_named_is_not_sampled() -> None:
    sampling = Sampling(keys={"alice": 1.0}, keyless=1.0)
    assert (sampling.propensity("alice", "m"), sampling.propensity("bob", "m"), sampling.propensity("", "m")) == (
        1,
        0,
        1,
    )
    assert all(sampling.takes(one, 1.0) for one in ids(1000))


def test_rates_of_key_and_model_are_multiplied() -> None:
    sampling = Sampling(keys={"alice": 0.5}, models={"long": 0.2})
    assert sampling.propensity("alice", "long") == 0.1
    assert sampling.propensity("alice", "short") == 0.5


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_the_share_is_the_rate(rate: float) -> None:
    count = 20_000
    taken = sum(Sampling().takes(one, rate) for one in ids(count))
    assert abs(taken - rate * count) < 5 * (rate * (1 - rate) * count) ** 0.5


@given(st.binary(max_size=128), RATES, RATES)
def test_a_higher_rate_keeps_the_samples_of_a_lower_one(request_id: bytes, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert Sampling().takes(request_id, high) or not Sampling().takes(request_id, low)


def test_the_choice_is_the_same_everywhere_and_another_with_another_salt() -> None:
    def chosen(salt: bytes) -> list[bytes]:
        return [one for one in ids(2000) if Sampling(salt=salt).takes(one, 0.1)]

    assert chosen(b"a") == chosen(b"a")
    assert not set(chosen(b"a")) <= set(chosen(b"b"))


@pytest.mark.parametrize(
    "wrong",
    [{"keys": {"alice": 1.5}}, {"keyless": -0.1}, {"models": {"m": float("nan")}}],
    ids=["above", "below", "nan"],
)
def test_what_is_no_share_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="has to be a share"):
        Sampling(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [b"off", b" OFF ", b"no", b"False", b"0"])
def test_a_header_opts_out(value: bytes) -> None:
    assert opted_out(value)


@pytest.mark.parametrize("value", [None, b"", b"on", b"offer"])
def test_other_headers_do_not(value: bytes | None) -> None:
    assert not opted_out(value)
