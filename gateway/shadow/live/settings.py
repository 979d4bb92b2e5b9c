"""What can be wrong with the settings of shadow-eval, found before anything is started."""

from __future__ import annotations

from pydantic import ValidationError

from gateway.config import Config, environment
from gateway.config_shadow import QUEUE, ShadowSettings
from gateway.shadow.canary.plan import Plan
from gateway.shadow.suites.jsonl import InputError
from gateway.shadow.suites.load import load


def check(config: Config) -> None:
    """Raises ValueError, with what to do, for suites, a plan of canaries or a queue that can't be used."""
    if config.shadow is None:
        return
    if config.shadow.queue is not None or environment(QUEUE):
        _check_queue(config.shadow)
    if config.shadow.gate is not None:
        _check_policy(config.shadow.gate)
    plan = canary_plan(config)
    for name in {*config.shadow.suites, *([plan.suite] if plan is not None else [])}:
        try:
            load(name)
        except InputError as error:
            raise ValueError(f"shadow.suites: {error}") from None


def _check_queue(settings: ShadowSettings) -> None:
    from gateway.shadow.live.offers import server_of  # imports much, which is of use only with a queue
    from gateway.shadow.worker.queue_server import NoQueue

    try:
        server_of(settings)
    except NoQueue as error:
        raise ValueError(f"shadow.queue: {error}") from None


def _check_policy(path: str) -> None:
    from gateway.shadow.report.gate_answers import read_policy  # imports much, which is of use only with a policy

    try:
        read_policy(path)
    except ValueError as error:
        raise ValueError(f"shadow.gate: {error}") from None


def canary_plan(config: Config) -> Plan | None:
    """Raises ValueError."""
    if config.shadow is None or config.shadow.canary is None:
        return None
    try:
        plan = Plan.model_validate(config.shadow.canary)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}".lstrip(": ") for each in error.errors())
        raise ValueError(f"shadow.canary: {'; '.join(problems)}") from None
    pools = {pool.model: pool for pool in config.pools}
    for side in (plan.first, plan.second):
        if side.model not in pools:
            raise ValueError(f"shadow.canary: there is no pool of {side.model}; there are: {', '.join(pools)}")
    if plan.enabled and pools[config.routing.short].tokenizer is None:
        raise ValueError(
            f"shadow.canary: prompts have to be counted: give the pool of {config.routing.short} a `tokenizer`"
        )
    return plan
