"""Charts of each measure over time, put at the end of locust's HTML report.

`.load/bin/python -m loadtests.charts FOLDER`. Locust's own charts are of all answers together. These are drawn from its
statistics' full history (`--csv-full-history`, same folder): p50, p95 and p99 of the last ten seconds, by kind.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

PANELS = {"TTFT": "ms", "between chunks": "ms", "E2E": "ms", "tokens/s": "tokens/s"}
_PERCENTILES = {"50%": "-", "95%": "--", "99%": ":"}
_END = "</body>"


@dataclass
class Series:
    """Seconds from the start, and each percentile at them."""

    at: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _PERCENTILES})


def read(history: Path) -> dict[str, dict[str, Series]]:
    """By measure and kind. Rows in which nothing was measured have no value and are left out."""
    found: dict[str, dict[str, Series]] = {name: defaultdict(Series) for name in PANELS}
    start: float | None = None
    with history.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            now = float(row["Timestamp"])
            start = now if start is None else start
            if row["Type"] not in PANELS or all(row[name] in ("", "N/A", "0") for name in _PERCENTILES):
                continue
            series = found[row["Type"]][row["Name"]]
            series.at.append(now - start)
            for name, values in series.values.items():
                values.append(float(row[name]) if row[name] not in ("", "N/A") else 0.0)
    return found


def drawn(history: Path) -> str:
    """One SVG image: a panel for each measure, a colour for each kind."""
    found = read(history)
    figure, panels = pyplot.subplots(len(PANELS), 1, figsize=(11, 3 * len(PANELS)), sharex=True, layout="constrained")
    kinds = sorted({kind for series in found.values() for kind in series})
    colours = {kind: f"C{number}" for number, kind in enumerate(kinds)}
    for panel, (measure, unit) in zip(panels, PANELS.items(), strict=True):
        for kind, series in sorted(found[measure].items()):
            for name, style in _PERCENTILES.items():
                label = f"{kind} p{name.rstrip('%')}"
                panel.plot(series.at, series.values[name], style, color=colours[kind], label=label, linewidth=1.2)
        panel.set_ylabel(f"{measure}, {unit}" if unit != measure else measure)
        panel.set_yscale("log")
        panel.grid(alpha=0.3)
        if found[measure]:
            panel.legend(fontsize=7, ncols=3, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    panels[-1].set_xlabel("seconds")
    image = io.StringIO()
    figure.savefig(image, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    text = image.getvalue()
    return text[text.index("<svg") :]


def main() -> int:
    folder = Path(sys.argv[1])
    report, history = folder / "report.html", folder / "load_stats_history.csv"
    text = report.read_text("utf-8")
    head, end, tail = text.rpartition(_END)
    if not end:
        print(f"{report} has no {_END}: another locust than loadtests/requirements.txt pins?")
        return 1
    title = "<h2>By kind of people: p50, p95 and p99 of ten seconds each</h2>"
    section = f'<section id="people" style="padding:2rem;background:#fff;color:#000">{title}{drawn(history)}</section>'
    report.write_text(f"{head}{section}{end}{tail}", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
