"""Asks a Prometheus every query of some dashboards, again and again until each has answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.demo.observe.panels import Dashboard, Query, complaint, filled
from gateway.demo.observe.prometheus import Prometheus, Refused, Series

SPAN = 60
"""Seconds up to now that are looked at."""
RATE_INTERVAL = 30


@dataclass(frozen=True, slots=True)
class Found:
    """``complaint``: what is wrong with the answer, "" if nothing is."""

    query: Query
    series: Sequence[Series]
    complaint: str

    def as_json(self) -> dict[str, Any]:
        query = self.query
        about = {"dashboard": query.dashboard, "panel": query.panel, "query": query.expression}
        return about | {"series": len(self.series), "complaint": self.complaint}


class Look:
    """``seconds``: the range that is asked for, up to now."""

    def __init__(self, prometheus: Prometheus, dashboards: Sequence[Dashboard], seconds: int = SPAN) -> None:
        self._prometheus = prometheus
        self._dashboards = dashboards
        self._seconds = seconds
        self._found: dict[tuple[str, str, str], Found] = {}

    def once_more(self) -> list[Found]:
        """Of all queries; those that have answered before are not asked again."""
        end = self._prometheus.now()
        return [
            found
            for dashboard in self._dashboards
            for found in self._of(dashboard, dashboard.values(self._prometheus.label_values, self._built_in()), end)
        ]

    def _of(self, dashboard: Dashboard, values: dict[str, str], end: float) -> list[Found]:
        for query in dashboard.queries:
            key = (query.dashboard, query.panel, query.reference)
            if key not in self._found or self._found[key].complaint:
                self._found[key] = self._ask(query, values, end)
        return [self._found[query.dashboard, query.panel, query.reference] for query in dashboard.queries]

    def _ask(self, query: Query, values: dict[str, str], end: float) -> Found:
        try:
            expression = filled(query.expression, values)
            series = self._prometheus.query_range(expression, end - self._seconds, end)
        except (Refused, ValueError) as error:
            return Found(query, (), str(error))
        return Found(query, series, complaint(series, query.legend))

    def _built_in(self) -> dict[str, str]:
        """Grafana's own variables."""
        return {
            "__rate_interval": f"{RATE_INTERVAL}s",
            "__interval": "1s",
            "__range": f"{self._seconds}s",
            "__range_s": str(self._seconds),
        }
