"""Scores what waits in the store: claims runs, runs their tests behind walls, records verdicts. Any number at once.

`Worker` is the loop, `Scoring` what a run comes to. A worker that is killed at any point loses nothing and counts
nothing twice: what it held is another's when its lease ends, and of two verdicts on one answer the first counts.
`queue.RunQueue`, if there is one, says what waits as soon as it does; without it the store is polled.
"""

from __future__ import annotations

from gateway.shadow.worker.scoring import Scoring, suite_key
from gateway.shadow.worker.worker import Observer, ScoringBroken, Settings, Worker

__all__ = ["Observer", "Scoring", "ScoringBroken", "Settings", "Worker", "suite_key"]
