"""Workers whose new verdicts become events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.shadow.events import Announcing, Events, open_events
from gateway.shadow.store import Store
from tests.fakes.slot import Script
from tests.gateway.shadow.worker.scenes import FIVE, Crew, Noted, by_mark


@dataclass
class Scoring:
    """As the environment says; `said` is what people are told."""

    store: Store
    events: Events
    said: list[str] = field(default_factory=list)

    def run(self, script: Script = by_mark, *, again: float = 0.0, name: str = "a") -> Noted:
        noted = Noted()
        observer = Announcing(noted, self.events, [FIVE])
        Crew(self.store, script, observer=observer, again=again, name=name).run()
        return noted


@contextmanager
def scoring(store: Store) -> Iterator[Scoring]:
    said: list[str] = []
    events = open_events(said.append)
    assert events is not None, said
    try:
        yield Scoring(store, events, said)
    finally:
        events.close()
