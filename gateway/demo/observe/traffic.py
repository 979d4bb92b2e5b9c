"""Sends a workload over and over, at a bounded rate, until it is told to stop."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

from gateway.demo.client import Answer, Client
from gateway.demo.observe.workload import Ask, Workload

PER_SECOND = 4.0
_AT_ONCE = 64

Heard = Callable[[Ask, Answer], None]


class Traffic:
    """``heard`` is called with each answer, one at a time; ``answers`` counts them by how they ended."""

    def __init__(self, gateway: Client, heard: Heard | None = None) -> None:
        self._gateway = gateway
        self._heard = heard
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()

    def send_all(self, asks: Iterable[Ask], at_once: int) -> None:
        """Returns when all are answered."""
        with ThreadPoolExecutor(at_once) as lanes:
            for _ in lanes.map(self._send, asks):
                pass

    @contextmanager
    def flowing(
        self, workload: Workload, trouble: Iterator[Callable[[], None]], per_second: float = PER_SECOND
    ) -> Iterator[None]:
        """Meanwhile requests come at random times, ``per_second`` on average. Each round of the workload is followed by
        the next ``trouble``, every third one by a burst. What finds no lane free waits: there are never more at once.
        """
        stopping = threading.Event()
        lanes = ThreadPoolExecutor(_AT_ONCE)
        pacing = threading.Thread(
            target=self._pace, args=(workload, trouble, per_second, lanes, stopping), name="traffic", daemon=True
        )
        pacing.start()
        try:
            yield
        finally:
            stopping.set()
            pacing.join()
            # Not waited for: their connections end when the gateway does.
            lanes.shutdown(wait=False, cancel_futures=True)

    def _pace(
        self,
        workload: Workload,
        trouble: Iterator[Callable[[], None]],
        per_second: float,
        lanes: ThreadPoolExecutor,
        stopping: threading.Event,
    ) -> None:
        random = Random(0)
        free = threading.BoundedSemaphore(_AT_ONCE)

        def send(ask: Ask) -> None:
            try:
                self._send(ask)
            finally:
                free.release()

        def submit(ask: Ask) -> bool:
            """False if there was no lane in time, which is when we are to stop."""
            while not free.acquire(timeout=0.2):
                if stopping.is_set():
                    return False
            lanes.submit(send, ask)
            return True

        for number, strike in enumerate(trouble):
            for ask in workload.cycle():
                if stopping.wait(random.expovariate(per_second)) or not submit(ask):
                    return
            strike()
            if number % 3 == 0:
                for ask in workload.burst():
                    submit(ask)

    def _send(self, ask: Ask) -> None:
        answer = self._gateway.ask(ask.path, ask.body, ask.leave_after)
        with self._lock:
            self.answers[_ending(answer)] += 1
            if self._heard is not None:
                self._heard(ask, answer)


def _ending(answer: Answer) -> str:
    if answer.left:
        return "left"
    if answer.status == 200:
        return "broken off" if answer.problem else "answered"
    return f"refused with {answer.status}" if answer.status else "no answer"
