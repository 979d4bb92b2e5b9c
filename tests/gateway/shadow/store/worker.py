"""A worker process for tests."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing import get_context
from random import Random
from threading import Barrier

from gateway.shadow.store import Claim, Store, open_store
from tests.gateway.shadow.store.evidence import a_sample, a_score

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["gateway.shadow.store", "psycopg"])
LEASE = 1.0
"""Seconds: what a killed worker had is another's after that."""


def open_and_add(url: str, number: int, together: Barrier) -> None:
    """All at the same moment."""
    together.wait()
    with open_store(url) as store:
        store.add(a_sample(number))


def work(url: str, number: int, mortals: int) -> None:
    """Claims and scores until nothing is open. The first so many are killed before that, at a random moment."""
    random = Random(number)
    with open_store(url) as store:
        mortal = number <= mortals
        if mortal and number % 2:  # in the middle of whatever it does
            threading.Timer(random.uniform(0, 0.1), _die).start()
        while any(store.backlog().values()):
            claims = store.claim(f"worker {number}", seconds=LEASE, limit=2)
            for claim in claims:
                _score(store, claim, random, 0.4 if mortal else 0)
            if not claims:
                time.sleep(0.05)


def _score(store: Store, claim: Claim, random: Random, risk: float) -> None:
    if random.random() < risk:
        _die()
    verdict = a_score(claim.run, program=claim.run.answer or "")
    store.record(verdict)
    if random.random() < risk:
        _die()
    if random.random() < 0.3:
        store.record(verdict)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
