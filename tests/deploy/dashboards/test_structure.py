"""What a Grafana would stumble over, or a reader."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import pytest

from tests.deploy.dashboards.board import FILES, JSON, board, numbered, panels, queries, variable_query, variables
from tests.deploy.dashboards.promql import VARIABLE

GIVEN = {"__rate_interval", "__range", "datasource"}  # by Grafana itself
WIDTH = 24
each = pytest.mark.parametrize("name", FILES)


def overlap(one: JSON, other: JSON) -> bool:
    def apart(start: str, size: str) -> bool:
        first, second = sorted((one["gridPos"], other["gridPos"]), key=lambda place: place.get(start, 0))
        return bool(first.get(start, 0) + first[size] <= second.get(start, 0))

    return not apart("x", "w") and not apart("y", "h")


@each
def test_ids_are_unique(name: str) -> None:
    counted = Counter(panel["id"] for panel in numbered(name))
    assert set(counted.values()) == {1}
    assert 0 not in counted


@each
def test_panels_lie_on_the_grid_and_apart(name: str) -> None:
    for panel in numbered(name):
        place = panel["gridPos"]
        assert place.get("x", 0) + place["w"] <= WIDTH, panel["title"]
    for one, other in combinations(numbered(name), 2):
        assert not overlap(one, other), (one["title"], other["title"])


@each
def test_every_panel_says_what_it_shows(name: str) -> None:
    titles = Counter(panel["title"] for panel in panels(name))
    assert set(titles.values()) == {1}
    for panel in panels(name):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith((".", "?")), panel["title"]
        assert len(panel["description"]) > 20, panel["title"]


@each
def test_every_query_asks_the_chosen_data_source(name: str) -> None:
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(name):
        assert panel["datasource"] == wanted, panel["title"]
        assert panel["targets"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references), panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == wanted, panel["title"]
            assert target["instant"] != target["range"], panel["title"]


@each
def test_variables_that_are_used_are_there_and_those_there_are_used(name: str) -> None:
    defined = variables(name)
    used = {found for asked in queries(name) for found in VARIABLE.findall(asked.query)}
    used |= {found for variable in defined.values() for found in VARIABLE.findall(variable_query(variable))}
    assert used - GIVEN == set(defined) - GIVEN
    assert defined["datasource"]["type"] == "datasource"
    assert defined["datasource"]["query"] == "prometheus"


@each
def test_dashboards_are_linked_and_start_alike(name: str) -> None:
    made = board(name)
    [link] = made["links"]
    assert link["tags"] == ["yardstick"]
    assert set(link["tags"]) <= set(made["tags"])
    assert (link["keepTime"], link["includeVars"]) == (True, True)
    assert made["time"] == {"from": "now-1h", "to": "now"}
    assert made["refresh"] == "30s"


def test_each_has_an_address_of_its_own() -> None:
    assert len({board(name)["uid"] for name in FILES}) == len(FILES)


@each
def test_thresholds_rise_and_are_explained(name: str) -> None:
    """A colour without words says nothing."""
    for panel in panels(name):
        _, *steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        values = [step["value"] for step in steps]
        assert values == sorted(values), panel["title"]
        assert not steps or re.search(r"\b(from|above|below|passes)\b", panel["description"], re.I), panel["title"]
