"""`yardstick observe`: simulated model servers, the gateway, live traffic and a Prometheus, to be looked at."""

from __future__ import annotations

from gateway.demo.observe.options import Options


def run(options: Options) -> int:
    """See `gateway.demo.observe.story.run`, which is loaded only then."""
    from gateway.demo.observe import story

    return story.run(options)
