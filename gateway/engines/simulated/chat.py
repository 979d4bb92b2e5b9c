"""POST /v1/chat/completions."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from gateway.engines.simulated.engine import Sequence
from gateway.engines.simulated.errors import EngineError, bad_request
from gateway.engines.simulated.http import Call
from gateway.engines.simulated.kv import Prompt
from gateway.engines.simulated.plan import Plan
from gateway.engines.simulated.sampling import check_sampling, check_vocabulary
from gateway.engines.simulated.service import Answered, Service
from gateway.engines.simulated.tools import ToolCall, example_text, schema_of, tool_call
from gateway.engines.simulated.truncation import check_cut, check_ids, cut
from gateway.engines.simulated.validation import decode, read
from gateway.engines.simulated.wire import ChatRequest


async def chat(service: Service, call: Call) -> None:
    """Answer one chat request: refuse what vLLM refuses, then generate, whole or as a stream."""
    data = decode(call.body)
    request = read(ChatRequest, data)
    service.check_model(request.model)
    service.check_output(*request.output_limit)
    check_cut(request.truncate_prompt_tokens, service.settings.window)
    _check_tool_parser(service, request)
    with service.engine.admitted(request.choices) as arrived:
        ids = await _prompt_ids(service, request, data)
        max_tokens = service.room(len(ids), request.output_limit[1])
        check_sampling(request, max_tokens)
        try:
            check_ids(ids, service.vocabulary)
            check_vocabulary(request, service.vocabulary)
        except EngineError as error:
            await call.refuse(error, begun=bool(request.stream))
            return
        asked = _last_question(request.messages)
        tool = tool_call(request, asked)
        prompt = Prompt(ids, request.cache_salt or "")
        sequences = _sequences(service, request, asked, tool, prompt, max_tokens)
        answered = service.accept(
            call, "chatcmpl", request, sequences, max_tokens, arrived=arrived, prompt_tokens=len(prompt)
        )
        answer = _Chat(service, request, answered, tool, ids)
        await (answer.stream(call) if request.stream else answer.whole(call))


async def _prompt_ids(service: Service, request: ChatRequest, data: Any) -> list[int]:
    asked, (_, limit) = request.truncate_prompt_tokens, request.output_limit
    text, special = service.render(data), request.add_special_tokens
    ids = await service.encode(text, special=special, truncated=asked is not None)
    return cut(ids, asked, service.settings.window, limit)


def _check_tool_parser(service: Service, request: ChatRequest) -> None:
    if service.settings.tool_parser or not request.tools or request.tool_choice in (None, "none"):
        return
    if request.named_tool is not None:
        raise bad_request(f'tool_choice=function "{request.named_tool}" requires --tool-call-parser to be set')
    if request.tool_choice == "required":
        raise bad_request('tool_choice="required" requires --tool-call-parser to be set')
    raise bad_request('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')


def _sequences(
    service: Service, request: ChatRequest, asked: str, tool: ToolCall | None, prompt: Prompt, max_tokens: int
) -> list[Sequence]:
    limits = service.limits(request, max_tokens)
    schema = schema_of(request.response_format)
    if tool is not None:
        texts = [tool.text] * request.choices
    elif schema is not None:
        texts = [example_text(schema, asked)] * request.choices
    else:
        texts = service.answers.chat(asked, request.seed, request.choices, len(prompt))
    return [
        Sequence(prompt, service.planner.plan(text, limits), tokenized=index == 0) for index, text in enumerate(texts)
    ]


def _last_question(messages: list[dict[str, Any]]) -> str:
    """The text of the last user message."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return _text(messages[-1].get("content")) if messages else ""


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return content if isinstance(content, str) else ""


class _Chat:
    """One answer, in either form."""

    def __init__(
        self,
        service: Service,
        request: ChatRequest,
        answered: Answered,
        tool: ToolCall | None,
        prompt: list[int],
    ) -> None:
        self._service = service
        self._request = request
        self._answered = answered
        self._tool = tool
        self._prompt = prompt
        self._prompt_ids = prompt if request.return_token_ids else None
        self._echoed = _text(request.messages[-1].get("content")) if self._echoes() else ""

    def _echoes(self) -> bool:
        messages = self._request.messages
        return self._request.echo and bool(messages) and messages[-1].get("role") == "assistant"

    async def whole(self, call: Call) -> None:
        answered = self._answered
        await self._service.engine.finish(answered.job)
        body = {
            "id": answered.id,
            "object": "chat.completion",
            "created": answered.created,
            "model": self._service.model,
            "choices": [self._choice(index, plan) for index, plan in enumerate(answered.plans)],
            "service_tier": None,
            "system_fingerprint": self._service.fingerprint,
            "usage": answered.full_usage,
            "prompt_logprobs": self._service.logprobs.prompt(self._prompt, self._request.prompt_top),
            "prompt_token_ids": self._prompt_ids,
            "prompt_text": None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }
        await call.json(body)

    def _choice(self, index: int, plan: Plan) -> dict[str, Any]:
        called = self._tool is not None and _is_complete(plan)
        return {
            "index": index,
            "message": self._message(plan, called=called),
            "logprobs": self._logprobs(plan.ids, 0),
            "finish_reason": self._finish_reason(plan),
            "stop_reason": plan.stop_reason,
            "token_ids": plan.ids if self._request.return_token_ids else None,
            "routed_experts": None,
        }

    def _message(self, plan: Plan, *, called: bool) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self._echoed + plan.text, "refusal": None}
        message.update(annotations=None, audio=None, function_call=None)
        if called and self._tool is not None:
            message["content"] = None if self._request.tool_choice == "auto" else ""
            function = {"name": self._tool.name, "arguments": self._tool.arguments}
            message["tool_calls"] = [{"id": self._call_id(), "type": "function", "function": function}]
        return {**message, "reasoning": None}

    def _finish_reason(self, plan: Plan) -> str:
        """``tool_calls``, except for a named tool, which ends with ``stop``."""
        called = self._tool is not None and _is_complete(plan)
        return "tool_calls" if called and self._request.named_tool is None else plan.finish_reason

    def _logprobs(self, ids: list[int], first: int) -> dict[str, Any] | None:
        if not self._request.logprobs:
            return None
        return self._service.logprobs.chat(ids, first, max(self._request.top_logprobs or 0, 0))

    def _call_id(self) -> str:
        return f"chatcmpl-tool-{self._service.new_id()}"

    async def stream(self, call: Call) -> None:
        answered, plans = self._answered, self._answered.plans
        deltas = [self._deltas() for _ in plans]
        done = [0] * len(plans)
        await call.start_stream()
        async with aclosing(self._service.engine.run(answered.job)) as steps:
            async for step in steps:
                if not any(done):
                    await self._open(call)
                for index in step:
                    done[index] += 1
                    event = self._event(index, plans[index], done[index], deltas[index])
                    if event is not None:
                        await call.event(event)
        if self._request.include_usage:
            usage = answered.final_usage(sum(done))
            await call.event({**self._chunk([], usage), "system_fingerprint": self._service.fingerprint})
        await call.end_stream()

    async def _open(self, call: Call) -> None:
        """The chunks with the role, and with the echoed message where that was asked for."""
        for index in range(len(self._answered.plans)):
            start = {"role": "assistant", "content": ""}
            choice = {"index": index, "delta": start, "logprobs": None, "finish_reason": None}
            chunk = self._chunk([choice], self._continuous(0))
            await call.event({**chunk, "prompt_token_ids": self._prompt_ids, "prompt_text": None})
        for index in range(len(self._answered.plans) if self._echoed else 0):
            echo = {"index": index, "delta": {"content": self._echoed}, "logprobs": None, "finish_reason": None}
            await call.event(self._chunk([echo], self._continuous(0)))

    def _event(self, index: int, plan: Plan, done: int, deltas: _Deltas) -> dict[str, Any] | None:
        """The chunk of the ``done``-th token, or None where a token only belongs to a call's frame."""
        piece, ids, last = plan.pieces[done - 1], plan.ids[done - 1 : done], done == len(plan)
        delta = deltas.next(piece)
        logprobs = self._logprobs(ids, done - 1)
        if delta is None and not last and logprobs is None and not self._request.return_token_ids:
            return None
        choice: dict[str, Any] = {"index": index, "delta": delta or {}, "logprobs": logprobs, "finish_reason": None}
        if last:
            choice.update(finish_reason=self._finish_reason(plan), stop_reason=plan.stop_reason)
        choice["token_ids"] = ids if self._request.return_token_ids else None
        chunk = self._chunk([choice], self._continuous(done))
        if last and not self._request.include_usage:
            chunk["system_fingerprint"] = self._service.fingerprint
        return chunk

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
        answered = self._answered
        chunk = {"id": answered.id, "object": "chat.completion.chunk", "created": answered.created}
        chunk.update(model=self._service.model, choices=choices)
        return chunk if usage is None else {**chunk, "usage": usage}

    def _continuous(self, done: int) -> dict[str, Any] | None:
        if not self._request.continuous_usage:
            return None
        return {**self._answered.usage(done), "completion_tokens_details": None}

    def _deltas(self) -> _Deltas:
        if self._tool is None:
            return _Deltas()
        return _ToolDeltas(self._tool, self._call_id())


def _is_complete(plan: Plan) -> bool:
    return plan.finish_reason == "stop" and plan.stop_reason is None


class _Deltas:
    """From a token's text to the ``delta`` of its chunk."""

    def next(self, piece: str) -> dict[str, Any] | None:
        return {"content": piece}


class _ToolDeltas(_Deltas):
    """A call's name comes first, with its id; its arguments follow as they are generated; its frame is not shown."""

    def __init__(self, tool: ToolCall, call_id: str) -> None:
        self._tool = tool
        self._id = call_id
        self._seen = 0
        self._named = False

    def next(self, piece: str) -> dict[str, Any] | None:
        before, self._seen = self._seen, self._seen + len(piece)
        start = len(self._tool.head)
        calls: list[dict[str, Any]] = []
        if not self._named and self._seen >= len(self._tool.named):
            self._named = True
            calls.append({"id": self._id, "type": "function", "index": 0, "function": {"name": self._tool.name}})
        arguments = self._tool.arguments[max(before - start, 0) : max(self._seen - start, 0)]
        if arguments:
            calls.append({"index": 0, "function": {"arguments": arguments}})
        return {"content": None, "tool_calls": calls} if calls else None
