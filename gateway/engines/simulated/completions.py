"""POST /v1/completions."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from gateway.engines.simulated.engine import Sequence
from gateway.engines.simulated.errors import EngineError, bad_request
from gateway.engines.simulated.http import Call
from gateway.engines.simulated.kv import Prompt
from gateway.engines.simulated.plan import Plan
from gateway.engines.simulated.sampling import check_sampling, check_vocabulary
from gateway.engines.simulated.service import Answered, Service
from gateway.engines.simulated.tools import example_text, schema_of
from gateway.engines.simulated.truncation import check_cut, check_ids, cut
from gateway.engines.simulated.validation import decode, read
from gateway.engines.simulated.wire import CompletionRequest

_SUBJECT_TOKENS = 1_000  # tokens at the end of a prompt of ids that are read for what it asks


@dataclass(frozen=True)
class _Prompt:
    """``text`` of a prompt of token ids is only its end, unless it is echoed."""

    text: str
    ids: list[int]
    from_text: bool

    @property
    def length(self) -> int:
        return len(self.ids)


async def completions(service: Service, call: Call) -> None:
    """Answer one completion request, for each of its prompts."""
    request = read(CompletionRequest, decode(call.body))
    service.check_model(request.model)
    param, limit = request.output_limit
    service.check_output(param, limit)
    check_cut(request.truncate_prompt_tokens, service.settings.window)
    given = _prompts(request)
    if not given:
        raise bad_request("You must pass at least one prompt")
    if request.suffix is not None:
        raise bad_request("suffix is only supported for models with FIM completion rendering", "suffix")
    with service.engine.admitted(request.choices * len(given)) as arrived:
        prompts = [await _read_prompt(service, request, prompt) for prompt in given]
        limit = 1 if request.only_echo else limit
        room = [service.room(prompt.length, limit) for prompt in prompts]
        check_sampling(request, 1 if request.only_echo else min(room))
        try:
            _check_for_engine(service, request, prompts)
        except EngineError as error:
            await call.refuse(error, begun=bool(request.stream))
            return
        sequences = [
            sequence
            for prompt, max_tokens in zip(prompts, room, strict=True)
            for sequence in _sequences(service, request, prompt, max_tokens)
        ]
        total = sum(prompt.length for prompt in prompts)
        answered = service.accept(call, "cmpl", request, sequences, max(room), arrived=arrived, prompt_tokens=total)
        answer = _Completion(service, request, answered, prompts)
        await (answer.stream(call) if request.stream else answer.whole(call))


def _check_for_engine(service: Service, request: CompletionRequest, prompts: list[_Prompt]) -> None:
    check_vocabulary(request, service.vocabulary)
    for prompt in prompts:
        check_ids(prompt.ids, service.vocabulary)
        service.check_filled(prompt.length)


def _prompts(request: CompletionRequest) -> list[str | list[int]]:
    """One prompt may stand without a list around it: a text, or a list of token ids."""
    prompt = request.prompt
    if isinstance(prompt, str):
        return [prompt]
    if prompt and isinstance(prompt[0], int):
        return [[number for number in prompt if isinstance(number, int)]]
    return [item for item in prompt or [] if not isinstance(item, int)]


async def _read_prompt(service: Service, request: CompletionRequest, prompt: str | list[int]) -> _Prompt:
    window, limit = service.settings.window, request.output_limit[1]
    if isinstance(prompt, list):
        prompt = cut(prompt, request.truncate_prompt_tokens, window, limit)
        shown = prompt if request.echo else prompt[-_SUBJECT_TOKENS:]
        return _Prompt(service.tokens.decode(shown), prompt, from_text=False)
    truncated = request.truncate_prompt_tokens is not None
    ids = await service.encode(prompt, special=request.add_special_tokens, truncated=truncated)
    return _Prompt(prompt, cut(ids, request.truncate_prompt_tokens, window, limit), from_text=True)


def _sequences(service: Service, request: CompletionRequest, prompt: _Prompt, max_tokens: int) -> list[Sequence]:
    limits = service.limits(request, max_tokens)
    schema = schema_of(request.response_format)
    shared = Prompt(prompt.ids, request.cache_salt or "")
    if schema is not None:
        texts = [example_text(schema, prompt.text)] * request.choices
    else:
        texts = service.answers.completion(prompt.text, request.seed, request.choices, prompt.length)
    return [
        Sequence(shared, service.planner.plan(text, limits), tokenized=prompt.from_text and index == 0)
        for index, text in enumerate(texts)
    ]


class _Completion:
    """One answer, in either form. Choice ``i`` belongs to prompt ``i // n``."""

    def __init__(
        self, service: Service, request: CompletionRequest, answered: Answered, prompts: list[_Prompt]
    ) -> None:
        self._service = service
        self._request = request
        self._answered = answered
        self._prompts = prompts
        self._only_echo = request.only_echo

    async def whole(self, call: Call) -> None:
        answered = self._answered
        await self._service.engine.finish(answered.job)
        body = {
            "id": answered.id,
            "object": "text_completion",
            "created": answered.created,
            "model": self._service.model,
            "choices": [self._choice(index, plan) for index, plan in enumerate(answered.plans)],
            "service_tier": None,
            "system_fingerprint": self._service.fingerprint,
            "usage": answered.full_usage,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }
        await call.json(body)

    def _choice(self, index: int, plan: Plan) -> dict[str, Any]:
        prompt = self._prompt(index)
        shown = self._request.return_token_ids
        return {
            "index": index,
            "text": self._echo(prompt) + ("" if self._only_echo else plan.text),
            "logprobs": self._logprobs(
                prompt, [] if self._only_echo else plan.ids, 0, 0, echo=bool(self._request.echo)
            ),
            "finish_reason": plan.finish_reason,
            "stop_reason": plan.stop_reason,
            "token_ids": plan.ids if shown else None,
            "prompt_logprobs": self._service.logprobs.prompt(prompt.ids, self._request.prompt_top),
            "prompt_token_ids": prompt.ids if shown else None,
            "routed_experts": None,
        }

    async def stream(self, call: Call) -> None:
        plans = self._answered.plans
        done, offsets = [0] * len(plans), [0] * len(plans)
        await call.start_stream()
        async with aclosing(self._service.engine.run(self._answered.job)) as steps:
            async for step in steps:
                for index in step:
                    done[index] += 1
                    event, text = self._event(index, plans[index], done[index], offsets[index])
                    offsets[index] += len(text)
                    await call.event(event)
        if self._request.include_usage:
            chunk = self._chunk([], self._answered.final_usage(sum(done)))
            await call.event({**chunk, "system_fingerprint": self._service.fingerprint})
        await call.end_stream()

    def _event(self, index: int, plan: Plan, done: int, offset: int) -> tuple[dict[str, Any], str]:
        """The chunk of the ``done``-th token, and the text in it. An echoed prompt comes with the first one."""
        first, last = done == 1, done == len(plan)
        prompt, ids = self._prompt(index), plan.ids[done - 1 : done]
        text = (self._echo(prompt) if first else "") + ("" if self._only_echo else plan.pieces[done - 1])
        echo = first and bool(self._request.echo)
        shown = self._request.return_token_ids
        choice = {
            "index": index,
            "text": text,
            "logprobs": self._logprobs(prompt, [] if self._only_echo else ids, done - 1, offset, echo=echo),
            "finish_reason": plan.finish_reason if last else None,
            "stop_reason": plan.stop_reason if last else None,
            "prompt_token_ids": prompt.ids if first and (shown or echo) else None,
            "token_ids": ids if shown else None,
        }
        usage = None
        if self._request.continuous_usage:
            total = prompt.length + done
            usage = {"prompt_tokens": prompt.length, "total_tokens": total, "completion_tokens": done}
        chunk = self._chunk([choice], usage)
        if last and not self._request.include_usage:
            chunk["system_fingerprint"] = self._service.fingerprint
        return chunk, text

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
        answered = self._answered
        chunk = {"id": answered.id, "object": "text_completion", "created": answered.created}
        chunk.update(model=self._service.model, choices=choices)
        return chunk if usage is None else {**chunk, "usage": usage}

    def _prompt(self, index: int) -> _Prompt:
        return self._prompts[index // self._request.choices]

    def _echo(self, prompt: _Prompt) -> str:
        return prompt.text if self._request.echo and not self._request.return_token_ids else ""

    def _logprobs(
        self, prompt: _Prompt, ids: list[int], first: int, offset: int, *, echo: bool
    ) -> dict[str, Any] | None:
        if self._request.logprobs is None:
            return None
        before = prompt.ids if echo else []
        top = max(self._request.logprobs, 0)
        return self._service.logprobs.completion([*before, *ids], first, top, offset, unknown=1 if before else 0)
