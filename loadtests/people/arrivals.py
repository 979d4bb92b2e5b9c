"""Requests that come at times drawn beforehand, whatever the answers take.

People wait for an answer before they ask again, so that a slow server gets less load. Two set-ups are compared with
arrivals, which are the same for both: times, prompts and wanted tokens follow from `--seed`. No prompt begins as
another one does, so that no prefix cache helps. All that came is waited for: nothing slow is cut off at the end.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.pool import Group
from locust import task
from locust.exception import StopUser

from loadtests.people import prompts
from loadtests.people.person import CHAT, Person

_CHARACTERS_PER_TOKEN = 3.5
_SHORT_TOKENS = (100, 1_500)
_OUTPUT = (16, 64)


@dataclass(frozen=True, slots=True)
class Arrival:
    """``at``: seconds from the start."""

    at: float
    kind: str
    body: dict[str, Any]


def drawn(seed: int, seconds: float, rates: dict[str, float], long_tokens: tuple[int, int]) -> list[Arrival]:
    """Poisson arrivals of each kind, in order. ``rates``: of "short" and "long", a second."""
    found = []
    for kind, rate in rates.items():
        draw, at = random.Random(f"{seed} {kind}"), 0.0
        while rate > 0 and (at := at + draw.expovariate(rate)) < seconds:
            fewest, most = long_tokens if kind == "long" else _SHORT_TOKENS
            tokens = int(fewest * (most / fewest) ** draw.random())  # the logarithm is uniform: most are short
            content = f"{prompts.files(draw, int(tokens * _CHARACTERS_PER_TOKEN))}\n\n{draw.choice(prompts.QUESTIONS)}"
            messages = [{"role": "user", "content": f"Number {draw.getrandbits(64):x}.\n{content}"}]
            found.append(Arrival(at, kind, {"messages": messages, "max_tokens": draw.randint(*_OUTPUT)}))
    return sorted(found, key=lambda each: each.at)


class Arrivals(Person):
    fixed_count = 1
    kind = "arrivals"

    @task
    def come(self) -> None:
        given = self.options
        rates = {"short": given.short_rate, "long": given.long_rate}
        arrivals = drawn(given.seed, given.arrivals_seconds, rates, prompts.tokens_range(given.agent_tokens))
        under_way, started = Group(), time.perf_counter()
        for each in arrivals:
            gevent.sleep(max(0.0, started + each.at - time.perf_counter()))
            under_way.spawn(self.ask, CHAT, each.body, each.kind, planned=started + each.at)
        under_way.join()
        gevent.spawn(self.environment.runner.quit)  # which waits for its users, and so for this one
        raise StopUser
