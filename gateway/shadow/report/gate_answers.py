"""What the gate answers on all that is stored, as metrics: a program of its own, since it reads every run.

`python -m gateway.shadow.report.gate_answers` takes `Asked` as JSON on stdin and prints Prometheus's text format.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from math import inf
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from gateway.config_document import ConfigError
from gateway.shadow.gate.decide import decide
from gateway.shadow.gate.decision import Answer, Decision
from gateway.shadow.gate.policy import Policy
from gateway.shadow.report.stored_pairs import StoredPairs, Unclear
from gateway.shadow.store import Evidence, StoreUnavailable, open_store
from gateway.telemetry import names
from gateway.telemetry.samples import plain

MOST_KINDS = 8
"""Suites and forms that are answered for: more are left out, so that there are not too many series."""
_LEAST_URGENT = 19


class Asked(msgspec.Struct):
    """On stdin, because a store's URL may hold a password, which `ps` would show."""

    store: str
    policy: str


def read_policy(path: str) -> Policy:
    """Raises ValueError, with everything that is wrong and where."""
    try:
        return Policy.from_yaml(Path(path).read_text(encoding="utf-8"), path)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from None


def exposition(evidence: Evidence, policy: Policy) -> bytes:
    """Raises StoreUnavailable, or `Unclear` where the policy has its sides the other way round."""
    stored = StoredPairs(evidence, policy)
    kinds = stored.kinds[:MOST_KINDS] or [("", "")]  # without pairs it is undecided
    decisions = {kind: decide(stored.events(*(part or None for part in kind)), policy) for kind in kinds}
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(policy, decisions))
    return generate_latest(registry)


class _Collected:
    def __init__(self, policy: Policy, decisions: dict[tuple[str, str], Decision]) -> None:
        self._policy = policy
        self._decisions = {
            (policy.first.model, policy.second.model, policy.evidence.value, *kind): decision
            for kind, decision in decisions.items()
        }

    def collect(self) -> Iterator[Metric]:
        yield plain(names.SHADOW_GATE, ((labels, found.answer) for labels, found in self._decisions.items()))
        ends = [str(bucket.up_to) for bucket in self._policy.buckets]
        pairs, needed = [], []
        for labels, decision in self._decisions.items():
            for end, report in zip(ends, decision.buckets, strict=True):
                pairs.append(((*labels, end), report.n))
                more = 0 if decision.answer is Answer.VIOLATED else report.needed
                needed.append(((*labels, end), inf if more is None else more))
        yield plain(names.SHADOW_GATE_PAIRS, pairs)
        yield plain(names.SHADOW_GATE_PAIRS_NEEDED, needed)


def main() -> int:
    os.nice(_LEAST_URGENT)
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    try:
        policy = read_policy(asked.policy)
        with open_store(asked.store) as store:
            sys.stdout.buffer.write(exposition(store.evidence, policy))
    except (StoreUnavailable, Unclear, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
