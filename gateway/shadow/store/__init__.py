"""Where shadow-eval keeps its evidence: a SQLite file, or PostgreSQL for several machines. One code path for both.

`open_store` gives a `Store`: samples and runs go in (`add`), workers score them (`claim`, `record`), and `evidence`
gives them back to the gate and the report. Everything may be delivered twice. What is kept how long is `Retention`;
prompts are not stored unless it says so, and answers only until they are scored. Nothing here cuts secrets out of text:
`gateway.shadow.redact` does, before it comes here.
"""

from __future__ import annotations

from gateway.config_shadow import LONGEST_KEPT, Retention
from gateway.shadow.store.day import day_of
from gateway.shadow.store.errors import StoreUnavailable
from gateway.shadow.store.evidence import Evidence, Matching, Wanted
from gateway.shadow.store.outcome import Drawn, Scored
from gateway.shadow.store.records import (
    Claim,
    Counter,
    Gap,
    Purged,
    Role,
    Run,
    Sample,
    Score,
    Side,
    State,
    Total,
    identify,
)
from gateway.shadow.store.store import Store, open_store
from gateway.shadow.store.tallies import TaskTally

__all__ = [
    "LONGEST_KEPT",
    "Claim",
    "Counter",
    "Drawn",
    "Evidence",
    "Gap",
    "Matching",
    "Purged",
    "Retention",
    "Role",
    "Run",
    "Sample",
    "Score",
    "Scored",
    "Side",
    "State",
    "Store",
    "StoreUnavailable",
    "TaskTally",
    "Total",
    "Wanted",
    "day_of",
    "identify",
    "open_store",
]
