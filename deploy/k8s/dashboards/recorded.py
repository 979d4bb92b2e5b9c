"""Names of the recorded series that dashboards use: see `deploy/k8s/rules`."""

from __future__ import annotations

from deploy.k8s.dashboards.queries import OF_MODEL, named

REQUESTS = "model_outcome:yardstick_requests:rate5m"
FAILED = "model:yardstick_requests_failed:ratio_rate5m"
FIRST_CHUNK = {name: f"model:yardstick_time_to_first_chunk_seconds:{name}_rate5m" for name in ("p50", "p95", "p99")}
DURATION = {name: f"model:yardstick_request_seconds:{name}_rate5m" for name in ("p50", "p95", "p99")}


def selected(series: str) -> str:
    return named(f"{series}{{{OF_MODEL}}}")


def summed(series: str) -> str:
    """By model, over what else it has; only rates can be."""
    return named(f"sum by (model) ({series}{{{OF_MODEL}}})")
