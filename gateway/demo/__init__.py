"""`yardstick demo`: two model servers, the gateway, and a real mixed workload over HTTP."""

from __future__ import annotations


def run(once: bool, port: int, engine: str = "simulated") -> int:
    """See `gateway.demo.story.run`, which is loaded only then: `tokenizer` is of use without it."""
    from gateway.demo import story

    return story.run(once, port, engine)
