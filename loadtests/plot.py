"""`comparison.json` as a picture: `.load/bin/python -m loadtests.plot comparison.json`, beside it as .svg."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

_COLOURS = {"split": "#0b6e4f", "mixed": "#c8553d"}
_OFFSET = {"split": -0.16, "mixed": 0.16}
_PANELS = {
    "short prompts": ("short", ("ttft_p50", "ttft_p99", "between_chunks_p99")),
    "long prompts": ("long", ("ttft_p50", "ttft_p99", "between_chunks_p99")),
}
_LABELS = {"ttft_p50": "TTFT p50", "ttft_p99": "TTFT p99", "between_chunks_p99": "between\nchunks p99"}


def draw(result: dict[str, Any], file: Path) -> None:
    """A dot for each seed, a bar for all seeds together."""
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "yardstick"})
    setups, given = result["setups"], result["settings"]
    figure, panels = pyplot.subplots(1, len(_PANELS), figsize=(9, 4.2), layout="constrained")
    for panel, (title, (kind, measures)) in zip(panels, _PANELS.items(), strict=True):
        for place, measure in enumerate(measures):
            for setup, colour in _COLOURS.items():
                at = place + _OFFSET[setup]
                seeds = [run[kind][measure] for run in setups[setup]["seeds"]]
                together = setups[setup]["together"][kind][measure]
                panel.plot([at] * len(seeds), seeds, "o", color=colour, alpha=0.45, markersize=5, markeredgewidth=0)
                panel.plot([at - 0.13, at + 0.13], [together] * 2, color=colour, linewidth=2.5)
                panel.annotate(
                    f"{together:.3g}", (at, together), (0, 7), textcoords="offset points", ha="center", fontsize=8
                )
        panel.set_title(f"{title} (n = {setups['split']['together'][kind]['requests']})", fontsize=10)
        panel.set_xticks(range(len(measures)), [_LABELS[measure] for measure in measures], fontsize=9)
        panel.set_xlim(-0.5, len(measures) - 0.5)
        panel.set_yscale("log")
        panel.margins(y=0.15)  # room for the figures
        panel.grid(axis="y", which="both", alpha=0.25)
    panels[0].set_ylabel("simulated seconds")
    servers = given["servers_split"]
    names = {
        "split": f"split by length: {servers['short']} servers for short prompts, {servers['long']} for long ones",
        "mixed": f"mixed: {sum(servers.values())} servers for everything, least loaded first",
    }
    handles = [pyplot.Line2D([], [], color=_COLOURS[setup], linewidth=2.5, label=names[setup]) for setup in names]
    figure.legend(handles=handles, loc="outside upper center", fontsize=9, frameon=False)
    note = f"Simulated servers (computed step times). Dots: {len(setups['split']['seeds'])} seeds; bars: all together."
    figure.supxlabel(note, fontsize=8)
    figure.savefig(file, metadata={"Date": None})


def main() -> int:
    source = Path(sys.argv[1])
    draw(json.loads(source.read_text()), source.with_suffix(".svg"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
