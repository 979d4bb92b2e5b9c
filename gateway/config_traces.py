"""Traces of requests: the part of the configuration that says which are kept. Where they go the environment says."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.config_base import Count, Settings

SAMPLE = 0.01
"""Where neither a setting nor the environment says another share."""


class TraceSettings(Settings):
    """Nothing of it has an effect while no OTEL_ variable names a receiver."""

    sample: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="share of the requests that is traced, by trace id; default: what OTEL_TRACES_SAMPLER and"
        f" OTEL_TRACES_SAMPLER_ARG say, else {SAMPLE:g}",
        examples=[SAMPLE],
    )
    slow: Annotated[float, Field(gt=0, le=86_400)] = Field(
        default=30.0,
        description="seconds; requests that took longer are kept, as are failed ones, whatever `sample` is",
    )
    by_clients: Annotated[int, Field(ge=0)] = Field(
        default=10,
        description="traces a second and worker that are kept because the client's traceparent says so; more are"
        " sampled as all others",
    )
    per_second: Count = Field(
        default=100, description="traces a second and worker, at most; more are dropped, and counted"
    )
