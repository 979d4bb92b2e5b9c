"""The report's JSON: its shape, and that claims never mix with what was measured."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.report.collect import collect
from gateway.shadow.report.document import Document, document, whole
from gateway.shadow.report.references import CLAIMED, PUBLISHED, REFERENCES
from gateway.shadow.report.report import Asked
from gateway.shadow.report.strata import Groups
from gateway.shadow.store import Store
from gateway.shadow.suites.load import load
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.report.planted import CATEGORIES, Planting, world

STRATUM = ["kind", "sample_kind", "suite", "form", "sampling", "inflated"]
ESTIMATE = ["value", "low", "high", "missing"]
WEIGHTED = [*ESTIMATE, "stands_for", "effective_draws", "effective_tasks"]
SIDE = ["value", "this_suite", "tasks_like_these"]
PAIR = [
    *(*STRATUM, "first", "second", "by", "part", "pairs", "tasks", "difference", "weighted", "first_pass_at_1"),
    *("second_pass_at_1", "both", "neither", "first_only", "second_only", "dropped", "never_pairs"),
    *("if_dropped_fail", "if_dropped_pass"),
]
RUN = [
    *(*STRATUM, "served", "by", "part", "pass_at_1", "tasks", "completions", "this_suite", "tasks_like_these"),
    *("weighted", "outcomes", "levels", "passes_in_process", "redacted_answers", "tokens_in", "tokens_out"),
    "environments",
]
SHAPE: dict[str, Any] = {
    "format": int,
    "asked": ["since", "until", "suite", "kind", "model"],
    "samples": [
        "count",
        "first",
        "last",
        "asked_one_family_only",
        "runs_without_outcome_yet",
        "suites_without_groups",
    ],
    "counted": [
        "first_day",
        "last_day",
        "sampled",
        "matched",
        "unmatched",
        "match_rate",
        "dropped",
        "tokens_spent",
    ],
    "gaps": [["source", "since", "why", "until"]],
    "checks": ["canonical", "known_bad", "scored_again", "flipped"],
    "pairs": [PAIR],
    "five": [[*STRATUM, "first", "second", "rows", "references"]],
    "runs": [RUN],
    "traffic": [],
    "meanings": None,
}


@pytest.fixture
def found(store: Store) -> Document:
    world(store)
    made = document(collect(store.evidence, Asked(), Groups([load("five")])))
    again: Document = json.loads(json.dumps(made, allow_nan=False))
    assert again == made
    return again


def test_it_has_this_shape(found: Document) -> None:
    assert list(found) == list(SHAPE)
    for name, shape in SHAPE.items():
        value = found[name]
        if isinstance(shape, list) and shape and isinstance(shape[0], list):
            assert value, name
            assert all(list(row) == shape[0] for row in value), name
        elif isinstance(shape, list) and shape:
            assert list(value) == shape, name
    (pair,) = whole(found["pairs"])
    assert list(pair["difference"]) == SIDE
    assert list(pair["difference"]["this_suite"]) == ESTIMATE
    assert list(pair["weighted"]) == WEIGHTED
    assert list(pair["first_pass_at_1"]) == SIDE
    for run in found["runs"]:
        assert list(run["this_suite"]) == ESTIMATE
        assert list(run["outcomes"]) == [outcome.value for outcome in Outcome]


def test_what_was_counted_and_what_is_missing(found: Document) -> None:
    assert found["counted"] == {
        "first_day": "2027-01-15",
        "last_day": "2027-01-15",
        "sampled": 200,
        "matched": 3,
        "unmatched": 197,
        "match_rate": 0.015,
        "dropped": {"busy": 7},
        "tokens_spent": {FIRST.model: 4400},
    }
    why = "the database is down"
    since = "2027-01-15T08:00:05+00:00"
    assert found["gaps"] == [{"source": "scorer", "since": since, "why": why, "until": None}]
    assert found["checks"]["canonical"] == {"passed": 1, "failed": 0, "no_verdict": 0}
    assert found["checks"]["known_bad"] == {"passed": 0, "failed": 1, "no_verdict": 0}


def test_the_five_categories_stand_beside_labelled_claims(found: Document) -> None:
    (table,) = found["five"]
    assert [row["category"] for row in table["rows"]] == [*CATEGORIES, "all"]
    claims = {row["category"]: row[CLAIMED] for row in table["rows"]}
    assert claims["multi_hop"] == {"first": 0.413, "second": 0.689}
    assert claims["all"] == {"first": 0.599, "second": 0.774}
    pairs = {row["part"]: row for row in found["pairs"]}
    for row in table["rows"]:
        assert row["measured"]["first"] == pairs[row["category"]]["first_pass_at_1"]
        assert row["difference"] == pairs[row["category"]]["difference"]
    published = {row["category"]: row[PUBLISHED] for row in table["rows"]}
    assert published["algorithms"] == {"first": {}, "second": {}}
    assert published["all"] == {
        "first": {"BigCodeBench, complete": 0.489, "BigCodeBench, instruct": 0.404},
        "second": {"BigCodeBench, full": 0.499, "BigCodeBench, hard": 0.277},
    }
    assert all(reference["label"] in (CLAIMED, PUBLISHED) for reference in table["references"])
    assert all(reference["source"] for reference in table["references"])


def test_every_reference_names_its_source_and_known_categories() -> None:
    for reference in REFERENCES:
        assert reference.source
        assert set(reference.by_category) in (set(), set(CATEGORIES))
        assert reference.family in (FIRST.family, SECOND.family)


def test_a_suite_that_is_not_five_has_no_table_of_claims(store: Store) -> None:
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.PASS, suite="BigCodeBench:1", task_id="BigCodeBench/1")
    planting.done()
    found = document(collect(store.evidence, Asked(), Groups([load("five")])))
    assert found["five"] == []
    assert found["samples"]["suites_without_groups"] == ["BigCodeBench:1"]


def test_an_empty_store_has_a_report(store: Store) -> None:
    found = document(collect(store.evidence, Asked(), Groups([])))
    assert list(found) == list(SHAPE)
    assert (found["samples"]["count"], found["counted"]["match_rate"]) == (0, None)
