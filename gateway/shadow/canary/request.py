"""A canary's two requests: one prompt, to each model once."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.shadow.canary.plan import Plan
from gateway.shadow.canary.prompt import Prompt

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


@dataclass(frozen=True, slots=True)
class CanaryRequest:
    route: str
    model: str
    body: dict[str, object]


def requests(
    plan: Plan, prompt: Prompt, salt: str, *, priority: int | None = None
) -> tuple[CanaryRequest, CanaryRequest]:
    """To the first and the second model, alike but for the model's name: sampling is the plan's, or the pools' own.

    `priority`: vLLM's; higher numbers wait longer.
    """
    sampling = {} if plan.temperature is None else {"temperature": plan.temperature}
    body = {**prompt.fields(), "max_tokens": plan.max_tokens, **sampling, "cache_salt": salt}
    if priority is not None:
        body["priority"] = priority
    route = CHAT if prompt.chat else COMPLETIONS
    first, second = (
        CanaryRequest(route, side.model, {"model": side.model, **body}) for side in (plan.first, plan.second)
    )
    return first, second
