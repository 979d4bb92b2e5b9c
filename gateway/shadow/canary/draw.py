"""Draws: each a function of the design and its number alone, independent of all others."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import exp, log
from random import Random

from gateway.shadow.canary.design import Design, Targets
from gateway.shadow.match.matcher import Form


@dataclass(frozen=True, slots=True)
class Draw:
    """One canary, for both families: the same prompt goes to each.

    `target`: tokens to inflate the prompt to, None to send it as it is. `tokens`: expected (the target, or the task's
    own). `propensity`: chance of this (bucket, form, task); a target within the bucket is drawn whatever the task.
    `design` and `number` give the draw again; its `id` alone gives all that follows from it (`seeded`).
    """

    id: str
    design: str
    number: int
    task_id: str
    form: Form
    start: int
    up_to: int
    target: int | None
    tokens: int
    propensity: float


def draw(design: Design, number: int) -> Draw:
    """The draw of this number, from 0 on. Draws of another design, or with another seed, have other ids.

    Numbers are used once, whatever becomes of a draw: one that load or an error kept from its verdicts is a dropped
    pair, not another try, or what is dear would be drawn less often than its propensity says.
    """
    name = f"{design.seed}/{design.digest}/{number}"
    random = seeded(name, "draw")
    stratum = random.choices(design.strata, [stratum.chance for stratum in design.strata])[0]
    choice = random.choices(stratum.choices, [choice.chance for choice in stratum.choices])[0]
    target = _target(stratum.targets, random) if choice.inflated and stratum.targets else None
    return Draw(
        id=_hash(name, "id").hex(),
        design=design.digest,
        number=number,
        task_id=choice.task_id,
        form=stratum.form,
        start=stratum.start,
        up_to=stratum.up_to,
        target=target,
        tokens=choice.own_tokens if target is None else target,
        propensity=stratum.propensity(choice),
    )


def seeded(name: str, purpose: str) -> Random:
    """The source of randomness of one draw (by its id) for one purpose."""
    return Random(int.from_bytes(_hash(name, purpose)))


def _hash(name: str, purpose: str) -> bytes:
    return blake2b(name.encode(), digest_size=16, person=purpose.encode()[:16]).digest()


def _target(targets: Targets, random: Random) -> int:
    if targets.given:
        return random.choice(targets.given)
    target = round(exp(random.uniform(log(targets.lowest), log(targets.highest))))
    return min(max(target, targets.lowest), targets.highest)
