"""A worker process for tests."""

from __future__ import annotations

import os
import signal
import time
from random import Random

from gateway.shadow.store import Claim, Store, open_store
from tests.gateway.shadow.store.evidence import a_score

LEASE = 0.4
"""Seconds: what a killed worker had is another's after that."""


def work(url: str, name: str, seed: int) -> None:
    """Claims and scores until nothing is open, or it is killed, at a moment that its seed decides."""
    random = Random(seed)
    with open_store(url) as store:
        while any(store.backlog().values()):
            claims = store.claim(name, seconds=LEASE, limit=2)
            for claim in claims:
                score(store, claim, random)
            if not claims:
                time.sleep(0.05)


def score(store: Store, claim: Claim, random: Random) -> None:
    _perhaps_die(random)
    verdict = a_score(claim.run, program=claim.run.answer or "")
    store.record(verdict)
    _perhaps_die(random)
    if random.random() < 0.3:
        store.record(verdict)


def _perhaps_die(random: Random) -> None:
    if random.random() < 0.1:
        os.kill(os.getpid(), signal.SIGKILL)
