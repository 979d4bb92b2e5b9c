"""`yardstick shadow report` and `purge`: what they print, and how they end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.shadow.purge import purge
from gateway.cli.shadow.report import report
from gateway.cli.shadow.stores import default_store
from gateway.cli.shadow.times import when
from gateway.shadow.canary.mix import LiveMix
from gateway.shadow.gate.draws import Kind, Outcome
from gateway.shadow.match.matcher import Form
from gateway.shadow.report.references import CLAIMED, PUBLISHED
from gateway.shadow.report.texts import NONE, percent, points, population_points, suite_points
from gateway.shadow.store import Purged, Store, open_store
from gateway.shadow.suites import five
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.report.planted import Planting, world
from tests.gateway.shadow.store.evidence import a_sample


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(report, arguments)


def purged(*arguments: str) -> Result:
    return CliRunner().invoke(purge, arguments)


def test_json_table_and_page_have_the_same_figures(store: Store, url: str, tmp_path: Path) -> None:
    world(store)
    page = tmp_path / "report.html"
    result = ran("--store", url, "--json", "--html", str(page))
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["samples"]["count"] == 80
    row = next(row for row in found["pairs"] if row["by"] == "all")
    text = ran("--store", url).stdout
    for shown in (f"{row['first_pass_at_1']['value']:.1%}", f"{row['second_pass_at_1']['value']:.1%}"):
        assert shown in text
        assert shown in page.read_text()
    assert repr(row["difference"]["value"]) in page.read_text()
    for words in ("80 samples", "Match rate 1.5%", "7 busy dropped", "claimed by the source", "can be forged"):
        assert words in text
    assert "Evidence is missing since 2027-01-15T08:00:05+00:00 and still: the database is down (scorer)" in text


def test_each_figure_stands_under_its_heading(store: Store, url: str) -> None:
    world(store)
    whole = next(row for row in json.loads(ran("--store", url, "--json").stdout)["pairs"] if row["by"] == "all")
    lines = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in ran("--store", url).stdout.split("\n")]
    (place,) = (place for place, cells in enumerate(lines) if cells[1:2] == ["first"])
    assert dict(zip(lines[place], lines[place + 2], strict=True)) == {
        "": "all",
        "first": percent(whole["first_pass_at_1"]["value"]),
        "second": percent(whole["second_pass_at_1"]["value"]),
        "difference": points(whole["difference"]["value"]),
        "this suite": suite_points(whole["difference"]),
        "tasks like these": population_points(whole["difference"]),
        "weighted": points(whole["weighted"]["value"]),
        "pairs": "80",
        "tasks": "40",
        "dropped": "0",
        "with dropped": NONE,
    }


def five_categories(text: str) -> tuple[list[str], list[list[str]]]:
    """The table's headings and rows. Both may go on in further lines, which a row's first cell then has nothing in."""
    headings, rows = list[list[str]](), list[list[list[str]]]()
    for line in text.partition("Five categories")[2].partition("└")[0].split("\n"):
        cells = [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]
        if "┃" in line:
            headings.append(cells)
        elif cells and cells[0]:
            rows.append([cells])
        elif cells:
            rows[-1].append(cells)
    whole = [[" ".join(filter(None, cell)) for cell in zip(*lines, strict=True)] for lines in (headings, *rows)]
    return whole[0], whole[1:]


def test_claims_stand_under_headings_of_their_own(store: Store, url: str) -> None:
    world(store)
    headings, rows = five_categories(ran("--store", url).stdout)
    families = (FIRST.family, SECOND.family)
    assert headings[-4:] == [f"{label}: {family}" for label in (CLAIMED, PUBLISHED) for family in families]
    assert {row[0]: row[-4:] for row in rows[-2:]} == {
        "multi_hop": ["41.3%", "68.9%", NONE, NONE],
        "all": [
            *("59.9%", "77.4%"),
            "48.9% on BigCodeBench, complete 40.4% on BigCodeBench, instruct",
            "49.9% on BigCodeBench, full 27.7% on BigCodeBench, hard",
        ],
    }
    assert all(row[-2:] == [NONE, NONE] for row in rows[:-1])


def test_filters_reach_the_report(store: Store, url: str) -> None:
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.FAIL)
    planting.pair(Outcome.PASS, Outcome.FAIL, kind=Kind.LIVE_NEAR, suite="other:1")
    planting.done()

    def samples(*arguments: str) -> int:
        count: int = json.loads(ran("--store", url, "--json", *arguments).stdout)["samples"]["count"]
        return count

    assert samples() == 2
    assert samples("--kind", "live-near") == samples("--suite", "other") == samples("--suite", "five") == 1
    assert samples("--since", "2027-01-15T08:00:02Z") == samples("--until", "2027-01-15T08:00:02Z") == 1
    assert samples("--since", "2027-01-16") == 0
    assert samples("--model", FIRST.model) == 2
    assert samples("--model", "none") == 0


def test_tasks_of_a_file_give_domains(store: Store, url: str, tmp_path: Path) -> None:
    task = {**five.tasks()[0], "task_id": "BigCodeBench/7", "libs": "['numpy', 'os']"}
    del task["category"]
    file = tmp_path / "tasks.jsonl"
    file.write_text(json.dumps(task))
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.FAIL, suite="BigCodeBench:1", task_id="BigCodeBench/7")
    planting.done()
    found = json.loads(ran("--store", url, "--json", "--tasks", str(file)).stdout)
    assert {row["part"] for row in found["pairs"] if row["by"] == "group"} == {"Computation", "System"}
    assert "no figures by category or domain" in ran("--store", url).stdout


def test_traffic_is_refused_or_weighted_with_its_assumption(store: Store, url: str, tmp_path: Path) -> None:
    world(store)
    mix, file = LiveMix(), tmp_path / "mix.json"
    mix.observe(1000, (), Form.COMPLETE, stands_for=3)
    file.write_text(json.dumps(mix.to_json()))
    text = ran("--store", url, "--traffic", str(file)).stdout
    assert text.count("Traffic-weighted pass@1 ") == 2
    assert "It assumes that a live prompt is as hard as a task of its length" in " ".join(text.split())
    mix.observe(100_000, (), Form.COMPLETE)
    file.write_text(json.dumps(mix.to_json()))
    found = json.loads(ran("--store", url, "--traffic", str(file), "--json").stdout)
    assert [row["estimate"] for row in found["traffic"]] == [None, None]
    assert found["traffic"][0]["refused"].startswith("25% of the live prompts")
    file.write_text("[]")
    result = ran("--store", url, "--traffic", str(file))
    assert result.exit_code == 2
    assert "a live mix is a JSON object" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--store", "sqlite:////none/store.db"), 1, "there is no such file; SQLite file /none/store.db"),
        (("--store", "postgresql://me:s3cret@127.0.0.1:9/d"), 1, "database d at 127.0.0.1:9"),
        (("--store", "postgresql:/me:s3cret@@/d"), 1, "is not available"),
        (("postgresql://me:s3cret@h/d",), 2, "//***@h/d"),
        (("--since", "yesterday"), 2, "'yesterday' is neither a time"),
        (("--kind", "benchmark"), 2, "'benchmark' is not one of"),
    ],
)
def test_what_is_wrong_is_said_and_no_password(arguments: tuple[str, ...], code: int, told: str) -> None:
    result = ran(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert "s3cret" not in result.stderr


def test_a_page_that_cant_be_written(store: Store, url: str) -> None:
    result = ran("--store", url, "--html", "/none/report.html")
    assert result.exit_code == 2
    assert "--html /none/report.html can't be written: No such file" in result.stderr


def test_the_default_store_is_a_file_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_store() == f"sqlite:///{tmp_path}/yardstick/shadow.db"
    result = ran()
    assert result.exit_code == 1
    assert str(tmp_path / "yardstick/shadow.db") in result.stderr
    assert list(tmp_path.iterdir()) == []
    with open_store(default_store()):
        assert ran().exit_code == 0
    monkeypatch.setenv("YARDSTICK_SHADOW_STORE", "postgresql://me:s3cret@127.0.0.1:9/d")
    result = ran()
    assert result.exit_code == 1
    assert "database d at 127.0.0.1:9" in result.stderr
    assert "s3cret" not in result.stderr


def test_times_and_ages() -> None:
    assert when("2027-01-15T08:00:00Z") == when("2027-01-15T08:00") == when("2027-01-15T09:00+01:00") == 1_800_000_000
    assert when("1970-01-02") == 86_400
    assert when("1h") - when("2h") == pytest.approx(3600, abs=5)
    assert when("1w") - when("14d") == pytest.approx(7 * 86_400, abs=5)


def fill(store: Store) -> None:
    planting = Planting(store)
    for key in ("a", "b"):
        for _ in range(2):
            planting.pair(Outcome.PASS, Outcome.PASS, key=key)
    planting.done()


@pytest.mark.parametrize(
    ("arguments", "samples"),
    [
        (("--key", "a"), 2),
        (("--before", "2027-01-15T08:00:04Z"), 3),
        (("--before", "2027-01-15T08:00:04Z", "--key", "b"), 1),
        (("--everything", "--yes"), 4),
        (("--before", "36500d"), 0),
    ],
)
def test_purge_deletes_and_says_how_much(store: Store, url: str, arguments: tuple[str, ...], samples: int) -> None:
    fill(store)
    result = purged("--store", url, *arguments, "--json")
    assert result.exit_code == 0
    rows = Purged(samples, 2 * samples, 2 * samples)
    assert json.loads(result.stdout) == asdict(rows) | {"rows": 5 * samples}
    assert len(list(store.evidence.samples())) == 4 - samples
    assert purged("--store", url, *arguments).stdout == (
        "0 rows deleted: 0 samples, 0 runs, 0 scores, 0 counters, 0 gaps\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "say what to delete"),
        (("--everything",), 2, "add --yes if that is meant"),
        (("--everything", "--yes", "--key", "a"), 2, "give one or the other"),
        (("--key", ""), 2, "has to name a key"),
        (("--key", "a", "--store", "sqlite:////none/store.db"), 1, "there is no such file"),
        (("--key", "a", "--store", "postgresql://me:s3cret@127.0.0.1:9/d"), 1, "database d at 127.0.0.1:9"),
    ],
)
def test_purge_deletes_nothing_that_was_not_named(
    store: Store, url: str, arguments: tuple[str, ...], code: int, told: str
) -> None:
    fill(store)
    result = purged(*(arguments if "--store" in arguments else ("--store", url, *arguments)))
    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert "s3cret" not in result.stderr
    assert len(list(store.evidence.samples())) == 4
    assert a_sample(1).id in {drawn.sample.id for drawn in store.evidence.samples()}
