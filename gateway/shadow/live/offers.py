"""Tells workers, through the queue, what waits in the store: at once when it is added, and later what that missed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from gateway.config import environment
from gateway.config_shadow import QUEUE, ShadowSettings
from gateway.shadow.store import Run, Sample, State, Store, StoreUnavailable
from gateway.shadow.worker.queue import LONGEST_SWEEP, OFFER_AFTER, OFFER_EVERY, RunQueue
from gateway.shadow.worker.queue_server import QueueServer


def server_of(settings: ShadowSettings) -> QueueServer | None:
    """None if no queue is set. Raises NoQueue."""
    url = settings.queue or environment(QUEUE)
    return QueueServer(url) if url is not None else None


class Offers:
    """`queue` None: nobody is told."""

    def __init__(self, queue: RunQueue | None) -> None:
        self.queue = queue

    def added(self, sample: Sample, runs: Iterable[Run]) -> None:
        """They are stored. From any thread."""
        if self.queue is not None:
            self.queue.offer([(sample.suite, run.id) for run in runs if run.state is State.WAITING])

    async def run(self, store: Store, suites: Iterable[str], *, every: float = OFFER_EVERY) -> None:
        """Looks now and then for what a crash, or a queue that was away, has kept from it. Others may do the same."""
        known = tuple(dict.fromkeys(suites))
        while self.queue is not None:
            await asyncio.sleep(every)
            for suite in known if self.queue.up else ():
                with contextlib.suppress(StoreUnavailable):  # its writer tells of that
                    found = await asyncio.to_thread(store.unclaimed, (suite,), older=OFFER_AFTER, limit=LONGEST_SWEEP)
                    self.queue.offer(found)


@contextmanager
def offering(settings: ShadowSettings, source: str, tell: Callable[[str], None]) -> Iterator[Offers]:
    """Raises NoQueue."""
    server = server_of(settings)
    if server is None:
        yield Offers(None)
        return
    with RunQueue(server, tell, name=source) as queue:
        yield Offers(queue)
