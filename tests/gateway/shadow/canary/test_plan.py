"""The plan: what it refuses, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.shadow.canary.plan import PerHour, PerLiveRequest, Plan
from tests.gateway.shadow.canary.worlds import BUCKETS, FIRST, SECOND, plan


def test_it_is_off_until_switched_on() -> None:
    assert not Plan.model_validate({"first": FIRST, "second": SECOND}).enabled


def test_rates() -> None:
    assert plan().rate == PerHour(per_hour=12)
    assert plan(rate={"per_live_request": 0.01}).rate == PerLiveRequest(per_live_request=0.01)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"speed": 1}, "Extra inputs"),
        ({"rate": {"per_hour": 1, "per_live_request": 0.1}}, "Extra inputs"),
        ({"rate": {"per_live_request": 2}}, "less than or equal to 1"),
        ({"second": FIRST}, "the same model"),
        ({"first": {**FIRST, "family": "iquest"}}, "is of the family codegeex"),
        ({"first": {**FIRST, "daily_tokens": 0}}, "greater than 0"),
        ({"forms": []}, "at least 1"),
        ({"forms": ["chat"]}, "complete"),
        ({"forms": ["complete", "complete"]}, "given twice"),
        ({"direct_completion": True}, "the complete form only"),
        ({"lengths": BUCKETS[:1]}, "sum to 0.6, not to 1"),
        ({"lengths": [BUCKETS[0], BUCKETS[0]]}, "the same up_to"),
        ({"lengths": "alive"}, "like live"),
        ({"inflation": {"enabled": True, "targets": [4_096]}}, "leave inflation.targets out"),
        ({"inflation": {"enabled": True, "targets": [9_000]}, "lengths": BUCKETS}, "beyond the last bucket"),
        ({"inflation": {"enabled": True, "targets": [2_049]}, "lengths": BUCKETS}, "take 2,113 or more"),
        ({"inflation": {"tolerance": 0}}, "greater than 0"),
        ({"uniform_share": 0}, "greater than 0"),
    ],
)
def test_what_is_wrong_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        plan(**settings)


def test_buckets_and_targets_come_in_any_order() -> None:
    made = plan(lengths=BUCKETS[::-1], inflation={"enabled": True, "targets": [8_192, 4_096, 4_096]})
    assert [bucket.up_to for bucket in made.lengths if not isinstance(bucket, str)] == [2_048, 8_192]
    assert made.inflation.targets == (4_096, 8_192)
