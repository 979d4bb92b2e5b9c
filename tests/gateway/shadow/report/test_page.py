"""The page: well formed, self-contained, and its figures are the document's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from gateway.shadow.gate.draws import Kind, Outcome
from gateway.shadow.report.collect import collect
from gateway.shadow.report.document import Document, document, whole
from gateway.shadow.report.page import page
from gateway.shadow.report.references import CLAIMED, PUBLISHED
from gateway.shadow.report.report import Asked
from gateway.shadow.report.strata import Groups
from gateway.shadow.report.texts import NONE
from gateway.shadow.store import Gap, Store
from gateway.shadow.suites.load import load
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.report.planted import Planting, world
from tests.gateway.shadow.store.evidence import NOON

_VOID = {"meta", "br", "line", "circle", "rect"}
"""Elements without an end; SVG's own close themselves."""


class Reader(HTMLParser):
    """Elements must close in order; keeps the figures, the text and what is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.figures: list[float] = []
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if (tag, name) == ("data", "value") or name == "data-value":
                self.figures.append(float(value or ""))
            if name in ("src", "href", "action", "data", "xlink:href"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def made(store: Store) -> Document:
    return document(collect(store.evidence, Asked(), Groups([load("five")])))


def test_its_figures_are_the_documents(store: Store) -> None:
    world(store)
    found = made(store)
    reader = read(page(found))
    sums = {sum(found["counted"][name].values()) for name in ("dropped", "tokens_spent")}
    checks = found["checks"]
    sums |= {checks["canonical"]["failed"] + checks["known_bad"]["passed"]}
    sums |= {sum(checks["canonical"].values()) + sum(checks["known_bad"].values())}
    assert set(reader.figures) <= {*numbers(found), *sums}
    for row in found["pairs"]:
        shown = [row["difference"]["value"], row["weighted"]["value"], row["pairs"], row["dropped"], row["both"]]
        shown += [row["first_pass_at_1"]["value"], row["second_pass_at_1"]["value"]]
        assert set(shown) <= set(reader.figures)
    for row in found["runs"]:
        assert {row["pass_at_1"], row["completions"], row["passes_in_process"]} <= set(reader.figures)


def test_it_needs_nothing_else_and_has_a_dark_theme(store: Store) -> None:
    world(store)
    text = page(made(store))
    reader = read(text)
    assert "svg" in reader.seen
    assert not reader.seen & {"script", "link", "img", "iframe", "object"}
    assert reader.addresses == []
    assert "http" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text


def test_it_says_in_words_what_was_found(store: Store) -> None:
    world(store)
    found = made(store)
    text = " ".join(" ".join(read(page(found)).text).split())
    (row,) = whole(found["pairs"])
    assert row["difference"]["tasks_like_these"]["high"] < 0
    assert "codegeex4-all-9b is worse than iquest-coder-v1-40b-loop-instruct on the same prompts: −" in text
    assert "Evidence is missing since 2027-01-15 08:00 (UTC), and still: the database is down (scorer)." in text
    assert "claimed by the source" in text
    assert "technical report" in text


def test_what_others_claim_stands_in_columns_of_its_own(store: Store) -> None:
    world(store)
    found = made(store)
    (table,) = (each for each in page(found).split("<table") if "Measured on the suite five" in each)
    lines = [
        re.findall("<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL) for row in table.partition("</table>")[0].split("<tr")
    ]
    headings, *rows = [[" ".join(read(cell).text) for cell in line] for line in lines if line]
    labels = [f"{label}: {family}" for label in (CLAIMED, PUBLISHED) for family in (FIRST.family, SECOND.family)]
    assert headings[-4:] == labels
    assert {row[0]: row[-4:] for row in rows[-2:]} == {
        "multi hop": ["41.3%", "68.9%", NONE, NONE],
        "all": [
            *("59.9%", "77.4%"),
            "48.9%  on BigCodeBench, complete 40.4%  on BigCodeBench, instruct",
            "49.9%  on BigCodeBench, full 27.7%  on BigCodeBench, hard",
        ],
    }
    assert all(row[-2:] == [NONE, NONE] for row in rows[:-1])
    assert {len(row) for row in rows} == {len(headings)}


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><b>', "{{ 7 * 7 }}", "]]>&amp;"])
def test_names_are_shown_as_they_are(store: Store, hostile: str) -> None:
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.FAIL, kind=Kind.LIVE_EXACT, form=hostile, suite=f"five:{hostile}")
    planting.done()
    store.gap(Gap(hostile, NOON, hostile))
    reader = read(page(made(store)))
    assert "script" not in reader.seen
    assert hostile in " ".join(reader.text)


def test_an_empty_store_has_a_page(store: Store) -> None:
    text = " ".join(" ".join(read(page(made(store))).text).split())
    assert "No samples" in text
    assert "No pairs yet" in text
