"""The report's page in a real browser: all of it is there, legible, within its width, and asks for nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.shadow.store import open_store
from tests.fakes.browser import Browser, browser, executable
from tests.gateway.shadow.report.planted import world

SIZES = [(width, dark) for width in (1280, 400) for dark in (False, True)]
_SMALLEST = 8.0
"""Pixels of a letter's height, as it is shown."""

# Tables that can only be read by scrolling, but those that are folded away.
_CUT = """[...document.querySelectorAll(".scroll")].filter(each => !each.closest("details"))
  .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.textContent.slice(0, 200))"""

# Of each plot: its size, its marks, the height of its smallest text, and the texts that stick out of it.
_PLOTS = """[...document.querySelectorAll("svg")].map(svg => {
  const box = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll("text")];
  const outside = texts.filter(text => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  });
  const scale = svg.getScreenCTM().a;
  return {width: box.width, height: box.height, marks: svg.querySelectorAll(".mark").length,
    whiskers: svg.querySelectorAll(".whisker").length, named: !!svg.getAttribute("aria-label"),
    smallest: Math.min(...texts.map(text => scale * parseFloat(getComputedStyle(text).fontSize))),
    outside: outside.map(text => text.textContent)};
})"""

# WCAG's contrast of each text with what is behind it; the lowest, with where it is.
_CONTRAST = """(() => {
  const parse = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(part => part / 255)
    .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.length < 4 || color[3] > 0.99) return color;
    }
    return [255, 255, 255];
  };
  let worst = [99, ""];
  for (const element of document.querySelectorAll("h1,h2,h3,p,span,b,td,th,dd,dt,summary,figcaption,svg text")) {
    const style = getComputedStyle(element), svg = element.namespaceURI.includes("svg");
    const pair = [light(parse(svg ? style.fill : style.color)), light(behind(element))].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < worst[0]) worst = [contrast, element.outerHTML.slice(0, 120)];
  }
  return worst;
})()"""


@pytest.fixture(scope="module")
def shown() -> Iterator[Browser]:
    command = executable()
    if command is None:
        pytest.skip("no Chromium here: apt-get install -y chromium")
    with browser(command) as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The page, and the document that it is drawn from, as the command makes them."""
    folder = tmp_path_factory.mktemp("report")
    url = f"sqlite:///{folder}/shadow.db"
    with open_store(url) as store:
        world(store)
    page = folder / "report.html"
    command = [sys.executable, "-m", "gateway", "shadow", "report", "--store", url, "--html", str(page), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return page, json.loads(done.stdout)


@pytest.mark.parametrize(("width", "dark"), SIZES)
def test_it_fits_and_asks_for_nothing(
    shown: Browser, report: tuple[Path, dict[str, Any]], width: int, dark: bool
) -> None:
    page, _ = report
    shown.show(page, width=width, dark=dark)
    assert shown.complaints() == []
    assert shown.requested() == [page.as_uri()]
    root = "document.documentElement"
    assert shown.evaluate(f"{root}.scrollWidth") <= shown.evaluate(f"{root}.clientWidth") <= width
    if width == 1280:
        assert shown.evaluate(_CUT) == []
    shown.evaluate('document.querySelectorAll("details").forEach(each => { each.open = true })')
    assert shown.evaluate(f"{root}.scrollWidth") <= shown.evaluate(f"{root}.clientWidth")


@pytest.mark.parametrize(("width", "dark"), SIZES)
def test_its_plots_are_there_and_legible(
    shown: Browser, report: tuple[Path, dict[str, Any]], width: int, dark: bool
) -> None:
    page, document = report
    shown.show(page, width=width, dark=dark)
    plots = shown.evaluate(_PLOTS)
    lengths, categories = (sum(row["by"] == by for row in document["pairs"]) for by in ("length", "group"))
    assert (lengths, categories) == (2, 5)
    assert [plot["marks"] for plot in plots] == [2 * lengths, lengths, 2 * categories, categories]
    assert [plot["whiskers"] for plot in plots[:2]] == [2 * lengths, lengths]
    for plot in plots:
        assert plot["named"]
        assert plot["width"] > 250
        assert plot["height"] > 60
        assert plot["smallest"] >= _SMALLEST
        assert plot["outside"] == []


@pytest.mark.parametrize("dark", [False, True])
def test_both_themes_have_contrast(shown: Browser, report: tuple[Path, dict[str, Any]], dark: bool) -> None:
    """4.5, which WCAG asks of text (AA)."""
    shown.show(report[0], width=1280, dark=dark)
    back = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, back.removeprefix("rgb(").removesuffix(")").split(","))) < 200) is dark
    contrast, where = shown.evaluate(_CONTRAST)
    assert contrast >= 4.5, where


def test_complaints_and_requests_would_be_seen(shown: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<img src="missing.png"><script>console.log("said"); throw new Error("thrown")</script>')
    shown.show(page, width=400)
    assert shown.requested() == [page.as_uri(), (tmp_path / "missing.png").as_uri()]
    told = str(shown.complaints())
    assert "said" in told
    assert "thrown" in told
