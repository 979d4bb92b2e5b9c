"""What `observe` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from gateway.demo.engine import HOST
from gateway.demo.observe.look import Found
from gateway.demo.observe.options import Options
from gateway.demo.observe.panels import Dashboard
from gateway.demo.observe.system import System
from gateway.demo.observe.traffic import Traffic


def addresses(system: System, dashboards: Sequence[Dashboard], options: Options) -> str:
    """Where everything is, and what a Grafana needs to show it."""
    gateway = f"http://{HOST}:{system.port}"
    lines = [f"gateway      {gateway}   metrics: {gateway}/metrics"]
    for model, servers in system.servers.by_model().items():
        lines.append(f"engines      {model}: " + ", ".join(f"http://{each}/metrics" for each in servers))
    lines.append(f"Prometheus   {system.prometheus.url}   to ask it: {system.prometheus.url}/graph")
    if dashboards:
        titles = ", ".join(each.title for each in dashboards)
        lines += [
            f"dashboards   {options.dashboards} ({titles})",
            f"             In a Grafana: add a Prometheus data source with the URL {system.prometheus.url} and a scrape"
            " interval of 1s,",
            "             then Dashboards, New, Import each file; or provision both:"
            f" {options.dashboards.parent / 'README.md'}",
        ]
    return "\n".join(lines)


def news(traffic: Traffic) -> str:
    """How many requests ended how."""
    ended = traffic.answers
    return f"{ended.total():,} requests: " + ", ".join(f"{count:,} {how}" for how, count in sorted(ended.items()))


def table(found: Sequence[Found]) -> Table:
    table = Table(title=f"{len(found)} queries", title_justify="left")
    for name in ("dashboard", "panel", "", "series", "values at first"):
        table.add_column(name, justify="right" if name in ("series", "values at first") else "left", overflow="fold")
    for each in found:
        newest = [series.samples[-1][1] for series in each.series if series.samples]
        shown = f"{min(newest):.4g}" + (f" to {max(newest):.4g}" if len(newest) > 1 else "") if newest else "-"
        query = each.query
        table.add_row(query.dashboard, query.panel, query.reference, str(len(each.series)), shown)
    return table
