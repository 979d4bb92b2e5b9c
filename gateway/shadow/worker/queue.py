"""The queue beside the store, SAQ's on Redis or PostgreSQL: it says at once which run waits, and for nobody twice.

The store stays the truth. A job has nothing but a run's id, as its key, so what is queued twice is one job; whoever
gets it claims that run in the store. What the queue loses is found there: see `Store.unclaimed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

from gateway.shadow.store import identify
from gateway.shadow.store.leases import MOST_ATTEMPTS
from gateway.shadow.worker.queue_server import Open, QueueServer
from gateway.shadow.worker.retrying import Backoff

if TYPE_CHECKING:
    from saq import Job, Queue

OFFER_EVERY = 15.0
"""Seconds between two times that what waits in the store is put into the queue, whoever does it."""
OFFER_AFTER = 10.0
"""Seconds that a sample may take to be put there by who added it."""
LONGEST_SWEEP = 1_000
"""Runs of the store that are put there at one time."""
_LAST = 10.0  # seconds in which what is still to be told is told to the server at the end
_MOST = 10_000  # things to tell it; offers beyond are left to a later sweep of the store
_SCHEDULE = 1.0  # seconds, as SAQ's own worker has it

Waiting = tuple[str, str]
"""A suite, as samples call it, and a run's id."""
_Tell = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds. `wait`: a blocking look for a job, which is followed by another. `patience`: after which a server that
    does not answer is away. `heartbeat`: a job of whose worker nothing was heard for so long is another's. `sweep`:
    between two looks for such jobs."""

    wait: float = 2.0
    patience: float = 5.0
    heartbeat: int = 60
    sweep: float = 30.0
    backoff: Backoff = field(default_factory=Backoff)


class RunQueue:
    """Entered, it is kept up by a thread with an event loop. Its methods may be called by any thread, and never block.

    Nor do they raise: while its server is away `up` is False, offers are forgotten, and who scores looks in the store.
    `tell` gets lines for people, in that thread, once when it goes away and once when it is back.
    """

    def __init__(
        self, server: QueueServer, tell: Callable[[str], None], *, name: str = "", times: Times | None = None
    ) -> None:
        """`name`: of the worker, for who looks at the queue with SAQ's tools."""
        self._server, self._tell, self._name, self._times = server, tell, name, times or Times()
        self.up = False
        self._said, self._pause = False, self._times.backoff.first
        self._suites: tuple[str, ...] = ()
        self._ring: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._ready = list[str]()
        self._limit = 0  # how many may be ready
        # All below is the loop's.
        self._open: Open
        self._queues: dict[str, Queue] = {}
        self._held: dict[str, Job] = {}
        self._to_tell = asyncio.Queue[_Tell]()
        self._receivers, self._upkeep = list[asyncio.Task[None]](), list[asyncio.Task[None]]()
        self._wanted, self._listening, self._ending = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        # Not waited for at the end of the process, should a server hang.
        self._thread = threading.Thread(target=self._run, name="run queue", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._soon(self._ending.set)
        self._thread.join(_LAST)

    # -- who adds -----------------------------------------------------------------------------------------------------

    def offer(self, waiting: Iterable[Waiting]) -> None:
        """For whoever has that suite. One that is in the queue, or is being scored, stays what it is."""
        for suite, run_id in waiting:
            self._later(partial(self._enqueue, suite, run_id), at_most=_MOST)

    # -- who scores ---------------------------------------------------------------------------------------------------

    def listen(self, suites: Iterable[str], ring: Callable[[], None]) -> None:
        """For runs of these suites. `ring` is called in its thread when one is there to take, or `up` has changed."""
        self._suites, self._ring = tuple(suites), ring
        self._soon(self._listening.set)

    def take(self, limit: int) -> list[str]:
        """Runs that this worker is given now; so many less than `limit` may be ready the next time.

        Each is its until `done` or `give_back`, or until nothing was heard of it for a while.
        """
        with self._lock:
            taken, self._ready = self._ready, []
            self._limit = max(limit - len(taken), 0)
        if self._limit:
            self._soon(self._wanted.set)
        return taken

    def done(self, run_id: str) -> None:
        self._later(partial(self._finish, run_id))

    def give_back(self, run_id: str) -> None:
        """For others at once."""
        self._later(partial(self._retry, run_id))

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _soon(self, do: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(do)

    def _later(self, tell: _Tell, *, at_most: int | None = None) -> None:
        def put() -> None:
            if self.up and (at_most is None or self._to_tell.qsize() < at_most):
                self._to_tell.put_nowait(tell)

        self._soon(put)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._keep_connected())

    async def _keep_connected(self) -> None:
        while not self._ending.is_set():
            try:
                async with self._server.connected() as open_queue:
                    try:
                        await self._serve(open_queue)
                    except Exception as error:
                        self._lost(error)  # already: to leave a server that does not answer takes a while
                        raise
            except Exception as error:  # whatever a server, its driver or SAQ comes up with: the store has it all
                self._lost(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), random.uniform(0, self._pause))
            self._pause = min(2 * self._pause, self._times.backoff.longest)

    async def _serve(self, open_queue: Open) -> None:
        """Until it is to end. Raises what went wrong first."""
        self._open, self._queues, self._held = open_queue, {}, {}
        self._to_tell, self._receivers, self._upkeep = asyncio.Queue(), [], []
        async with asyncio.TaskGroup() as group:
            self._upkeep += [group.create_task(job) for job in (self._tell_all(), self._beat(), self._listen(group))]
            self._back()
            await self._ending.wait()
            self._wanted.set()
            if self._receivers:
                await asyncio.wait(self._receivers)  # not cancelled: a job on its way would be nobody's for a while
            for run_id in self.take(0):
                self._to_tell.put_nowait(partial(self._retry, run_id))
            await self._to_tell.join()
            for task in self._upkeep:
                task.cancel()
        self.up = False

    def _back(self) -> None:
        self.up, self._pause = True, self._times.backoff.first
        if self._said:
            self._said = False
            self._tell("the queue of shadow-eval is available again")
        self._ring()

    def _lost(self, error: Exception) -> None:
        """What was held stays so until nothing was heard of it for a while; the store has it, too."""
        self.up = False
        self.take(0)
        if not self._said and not self._ending.is_set():
            self._said = True
            told = self._server.told(error)
            self._tell(f"the queue of shadow-eval is not available: {told}. Until it is, the store is looked through")
        self._ring()

    async def _queue(self, suite: str) -> Queue:
        """One for each suite, so that nobody is given what is left for others. PostgreSQL wants short names."""
        if suite not in self._queues:
            async with asyncio.timeout(2 * self._times.patience):  # its tables may be made first
                self._queues[suite] = await self._open(f"yardstick-{identify(suite)}")
        return self._queues[suite]

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        await self._listening.wait()
        for suite in self._suites:
            queue = await self._queue(suite)
            self._receivers.append(group.create_task(self._receive(queue)))
            self._upkeep += [group.create_task(job) for job in (self._schedule(queue), self._sweep(queue))]

    async def _receive(self, queue: Queue) -> None:
        from saq.job import Status
        from saq.utils import now

        me = asyncio.current_task()
        while not self._ending.is_set():
            await self._wanted.wait()
            if not self._has_room():
                self._wanted.clear()
                continue
            async with asyncio.timeout(self._times.wait + self._times.patience) as limit:
                job = await queue.dequeue(timeout=self._times.wait)
            # SAQ's queue on PostgreSQL takes being cancelled for there being no job.
            if me is not None and me.cancelling():
                raise asyncio.CancelledError
            if limit.expired():
                raise TimeoutError("it does not answer")
            if job is None:
                continue
            if not self._has_room():  # another suite's came first
                await job.retry(None)
                continue
            job.started, job.worker_id = now(), self._name
            job.attempts += 1
            self._held[job.key] = job
            await job.update(status=Status.ACTIVE)
            with self._lock:
                self._ready.append(job.key)
            self._ring()

    def _has_room(self) -> bool:
        with self._lock:
            return len(self._ready) < self._limit

    async def _schedule(self, queue: Queue) -> None:
        """What SAQ's own worker does beside: look anew for what no message came of.

        It is also how a server is noticed that no longer answers: while this looks, SAQ's `dequeue` does not, and only
        waits for messages.
        """
        while True:
            async with asyncio.timeout(self._times.patience):
                await queue.schedule()
            await asyncio.sleep(_SCHEDULE)

    async def _sweep(self, queue: Queue) -> None:
        """As SAQ's own worker: for jobs of the dead. How long one takes depends on how many they are."""
        lock = max(1, round(self._times.sweep))
        while True:
            await asyncio.sleep(self._times.sweep)
            with contextlib.suppress(RuntimeError):  # SAQ's, of a job that was finished just now
                await queue.sweep(lock=lock, abort=0.1)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._times.heartbeat / 3)
            for run_id in self._held:
                self._to_tell.put_nowait(partial(self._touch, run_id))

    async def _tell_all(self) -> None:
        """One after another, so that no heartbeat brings back a job that is done."""
        while True:
            tell = await self._to_tell.get()
            async with asyncio.timeout(self._times.patience):
                await tell()
            self._to_tell.task_done()

    async def _enqueue(self, suite: str, run_id: str) -> None:
        from saq import Job

        queue = await self._queue(suite)
        # No limit of time: the heartbeat is one. Attempts are counted by the store.
        beat = self._times.heartbeat
        await queue.enqueue(Job("score", key=run_id, timeout=0, heartbeat=beat, retries=MOST_ATTEMPTS, ttl=-1))

    async def _touch(self, run_id: str) -> None:
        if (job := self._held.get(run_id)) is not None:
            await job.update()

    async def _finish(self, run_id: str) -> None:
        from saq.job import Status

        if (job := self._held.pop(run_id, None)) is not None:
            await job.finish(Status.COMPLETE)

    async def _retry(self, run_id: str) -> None:
        if (job := self._held.pop(run_id, None)) is not None:
            await job.retry(None)
