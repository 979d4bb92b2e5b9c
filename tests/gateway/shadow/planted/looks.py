"""The gate, looked at after every draw: how often does it say what is not so?

Each run's draws came one after another through HTTP, the store and the scorer; here the gate is fed them as `yardstick
shadow gate` is, and asked after each. Two kinds of worlds, in which an answer is known to be wrong:

- both families have the same rate for each task: "violated" is wrong, whatever is allowed. It is tried with what a team
  would allow (.05) and with next to nothing (.001), where it is likeliest.
- the table's rates, and allowed is exactly the deficit that was planted: both answers are wrong. That is the hardest
  world there is.

A run gives one stream, in the order in which it was drawn. More is made of it in two ways. Cut in pieces: each is a
stream of its own, shorter. In other orders: draws of one run are independent and of one distribution, given its tasks'
rates (a draw is a function of its number; the server draws each answer anew), so every order was as likely as the one
that came, and the share of orders with a wrong answer has the false alarm rate as its mean. But orders of one run share
its draws: however many are tried, they are one observation, and so the interval is that of a mean over runs.
Drawing from a run with replacement would not do: its mean is not the planted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

from gateway.shadow.gate.decide import Gate
from gateway.shadow.gate.decision import Answer
from gateway.shadow.gate.draws import Control, Event, Outcome, Pair, Served, StreamKey
from gateway.shadow.gate.policy import Policy
from tests.gateway.shadow.planted.coverage import clopper_pearson, t_interval
from tests.gateway.shadow.planted.run import MODELS, Draw, Run, policy

ALMOST_NOTHING = 1e-3
ORDERS = 20
PIECE = 80

_SERVED = [
    Served(family, model, "r", "e", "q", "t", "s") for family, model in zip(("codegeex", "iquest"), MODELS, strict=True)
]
_KEY = StreamKey(_SERVED[0], _SERVED[1], suite="five", sandbox="s", form="f")


@dataclass(frozen=True)
class Alarms:
    """Wrong answers after some draw. `in_order` of `streams` runs; `in_pieces` of `pieces`; `orders`: the mean share
    over runs, with a t interval."""

    streams: int
    in_order: int
    exact: tuple[float, float]
    pieces: int
    in_pieces: int
    pieces_exact: tuple[float, float]
    orders: float
    by_run: tuple[float, float]


def alarms(runs: Sequence[Run], deltas: Sequence[float], wrong: frozenset[Answer], seed: int) -> Alarms:
    """`deltas`: what each run's policy allows."""
    random = Random(seed)
    in_order, in_pieces, shares = list[bool](), list[bool](), list[float]()
    for run, delta in zip(runs, deltas, strict=True):
        asked, draws = Policy.from_yaml(policy(delta)), _usable(run)
        in_order.append(first_answer(draws, asked, wrong) is not None)
        for start in range(0, len(draws) - PIECE + 1, PIECE):
            in_pieces.append(first_answer(draws[start : start + PIECE], asked, wrong) is not None)
        orders = (random.sample(draws, len(draws)) for _ in range(ORDERS))
        shares.append(fmean(first_answer(order, asked, wrong) is not None for order in orders))
    return Alarms(
        len(runs),
        sum(in_order),
        clopper_pearson(sum(in_order), len(in_order)),
        len(in_pieces),
        sum(in_pieces),
        clopper_pearson(sum(in_pieces), len(in_pieces)),
        fmean(shares),
        t_interval(shares),
    )


def first_answer(draws: Sequence[Draw], asked: Policy, answers: frozenset[Answer]) -> int | None:
    """After how many draws the gate first gave one of them; None: never."""
    gate = Gate(asked)
    pairs = 0
    for event in events(draws, asked):
        gate.add(event)
        pairs += isinstance(event, Pair)
        if gate.answer in answers:
            return pairs
    return None


def events(draws: Sequence[Draw], asked: Policy) -> Iterator[Event]:
    """With controls that come out right, as often as the policy wants them."""
    for place, draw in enumerate(draws):
        if place % asked.pairs_per_control == 0:
            yield from (Control(_KEY, True, Outcome.PASS), Control(_KEY, False, Outcome.FAIL))
        yield Pair(_KEY, draw.tokens, _outcome(draw.first), _outcome(draw.second))


def _usable(run: Run) -> list[Draw]:
    """What was cancelled as the gateway ended is no pair."""
    return [draw for draw in run.draws if draw.first is not None and draw.second is not None]


def _outcome(passed: bool | None) -> Outcome:
    return Outcome.PASS if passed else Outcome.FAIL


def answer_at_the_end(run: Run, delta: float) -> Answer:
    """What has to be what `yardstick shadow gate` said of the same run."""
    asked = Policy.from_yaml(policy(delta))
    gate = Gate(asked)
    for event in events(_usable(run), asked):
        gate.add(event)
    return gate.answer
