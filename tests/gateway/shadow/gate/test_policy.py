"""The policy's text: what it has to say, and how it is told what is wrong."""

from __future__ import annotations

import pytest

from gateway.config_document import ConfigError
from gateway.shadow.gate.draws import Kind
from gateway.shadow.gate.policy import Policy
from tests.gateway.shadow.gate.worlds import POLICY, TWO_BUCKETS


def test_what_is_left_out_has_defaults() -> None:
    assert (TWO_BUCKETS.alpha, TWO_BUCKETS.evidence) == (0.05, Kind.CANARY)
    assert TWO_BUCKETS.names == ("1 to 2,048 tokens", "2,049 to 8,192 tokens")
    assert [TWO_BUCKETS.place(length) for length in (1, 2048, 2049, 8192, 8193)] == [0, 0, 1, 1, None]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("delta: 0.05", "delta: 0.05\nepsilon: 1"), "policy:5:1: epsilon: unknown key"),
        (("delta: 0.05", ""), "delta: is missing"),
        (("delta: 0.05", "delta: 0"), "policy:4:8: delta: should be greater than 0"),
        (("delta: 0.05", "delta: '0.05'"), "delta: should be a valid number"),
        (("delta: 0.05", "delta: 0.05\ndelta: 0.1"), "delta: given twice, first on line 4"),
        (("delta: 0.05", "delta: 0.05\nevidence: rumour"), "evidence: should be 'live-exact'"),
        (("weight: 0.4", "weight: 0.5"), "the weights sum to 1.1, not to 1"),
        (("up_to: 8192", "up_to: 2048"), "two buckets have the same up_to"),
        (("up_to: 8192", "upto: 8192"), "unknown key"),
        (("family: codegeex,", "family: iquest,"), "codegeex4-all-9b is of the family codegeex, not iquest"),
        (("codegeex4-all-9b", "codegeex4"), "'codegeex4' is none of the models known here"),
        (
            (
                "{family: codegeex, model: codegeex4-all-9b}",
                "{family: iquest, model: iquest-coder-v1-40b-loop-instruct}",
            ),
            "the same model",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: tuple[str, str], problem: str) -> None:
    assert change[0] in POLICY
    with pytest.raises(ConfigError) as raised:
        Policy.from_yaml(POLICY.replace(*change))
    assert problem in str(raised.value)


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "1: 2", "when: 2026-99-99"])
def test_a_text_that_holds_no_settings_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="policy"):
        Policy.from_yaml(text)
