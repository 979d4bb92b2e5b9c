"""Spans of a request that has ended, by OpenTelemetry's conventions for HTTP servers and for calls of models.

They say nothing of prompts and answers but their lengths, and quote nothing of a client's but the id it gave its
request. Imports OpenTelemetry.
"""

from __future__ import annotations

import json
import time
from itertools import pairwise

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway.telemetry import span_names as names
from gateway.telemetry.traces.keep import Ended, Sent, Trace

Attributes = dict[str, str | int | float | bool]

_OPERATIONS = {"/v1/chat/completions": "chat", "/v1/completions": "text_completion"}
_PROVIDER = "vllm"
_CANCELLED = "cancelled"
_SCOPE = InstrumentationScope(names.SCOPE, schema_url=names.CONVENTIONS)
_OK, _ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


def count_of(ended: Ended) -> int:
    return 1 + bool(ended.counted_at) + len(ended.attempts)


def spans_of(trace: Trace, why: str, ended: Ended, resource: Resource) -> list[ReadableSpan]:
    """The request's own span, the decision's if a prompt was counted, and one for each attempt; as `count_of` says."""
    return _Making(trace, ended, resource).all(why)


class _Making:
    """``_offset``: nanoseconds since 1970 at the timer's zero."""

    def __init__(self, trace: Trace, ended: Ended, resource: Resource) -> None:
        self._trace, self._ended, self._new_id, self._resource = trace, ended, trace.new_id, resource
        self._offset = time.time_ns() - int(ended.ended * 1e9)
        self._flags = TraceFlags(trace.flags)
        self._own = self._context(trace.new_id())

    def all(self, why: str) -> list[ReadableSpan]:
        ended, attempts = self._ended, self._ended.attempts
        spans = [self._of_request(why)]
        if ended.counted_at:
            about: Attributes = {} if ended.decision is None else _about_decision(ended)
            spans.append(self._span(names.DECIDE, SpanKind.INTERNAL, ended.began, ended.counted_at, about))
        ends = [one.ended or following.began for one, following in pairwise(attempts)]
        if attempts:
            ends.append(attempts[-1].ended or ended.ended)
        spans += [self._of_attempt(number, end) for number, end in enumerate(ends)]
        return spans

    def _of_request(self, why: str) -> ReadableSpan:
        ended, parent = self._ended, self._trace.parent
        about: Attributes = {
            names.METHOD: "POST",
            names.ROUTE: ended.route,
            names.PATH: ended.route,
            names.SCHEME: "http",
            names.REQUEST_ID: ended.request_id.decode("latin-1"),
            names.OUTCOME: ended.outcome,
            names.KEPT: why,
            **_about_decision(ended),
        }
        if ended.status:
            about[names.STATUS] = ended.status
        if ended.problem:
            about[names.CODE] = ended.problem
        if ended.outcome not in ("ok", "client_error"):
            about[names.ERROR_TYPE] = ended.problem or (
                _CANCELLED if ended.outcome == _CANCELLED else str(ended.status)
            )
        remote = None
        if parent is not None:
            remote = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(parent.flags))
        return ReadableSpan(
            f"POST {ended.route}",
            self._own,
            remote,
            self._resource,
            about,
            kind=SpanKind.SERVER,
            status=_ERROR if names.ERROR_TYPE in about else _OK,
            start_time=self._at(ended.began),
            end_time=self._at(ended.ended),
            instrumentation_scope=_SCOPE,
        )

    def _of_attempt(self, number: int, end: float) -> ReadableSpan:
        ended = self._ended
        sent, last = ended.attempts[number], number == len(ended.attempts) - 1
        operation = _OPERATIONS[ended.route]
        about: Attributes = {
            names.OPERATION: operation,
            names.PROVIDER: _PROVIDER,
            names.REQUEST_MODEL: sent.model,
            names.ADDRESS: sent.endpoint.host,
            names.PORT: sent.endpoint.port,
        }
        if ended.asked is not None:
            about[names.STREAM] = ended.asked.stream
            if ended.asked.output is not None:
                about[names.MAX_TOKENS] = ended.asked.output
        if number:
            about[names.RESEND] = number
        if sent.status:
            about[names.STATUS] = sent.status
        if last and 200 <= sent.status < 300:
            about.update(_about_answer(sent, ended, streamed=bool(about.get(names.STREAM))))
        if error := _error_of(sent, ended if last else None):
            about[names.ERROR_TYPE] = error
        name = f"{operation} {sent.model}"
        return self._span(name, SpanKind.CLIENT, sent.began, end, about, sent.span_id)

    def _span(
        self, name: str, kind: SpanKind, began: float, end: float, about: Attributes, span_id: int = 0
    ) -> ReadableSpan:
        """A child of the request's own."""
        return ReadableSpan(
            name,
            self._context(span_id or self._new_id()),
            self._own,
            self._resource,
            about,
            kind=kind,
            status=_ERROR if names.ERROR_TYPE in about else _OK,
            start_time=self._at(began),
            end_time=self._at(end),
            instrumentation_scope=_SCOPE,
        )

    def _context(self, span_id: int) -> SpanContext:
        return SpanContext(self._trace.trace_id, span_id, is_remote=False, trace_flags=self._flags)

    def _at(self, seconds: float) -> int:
        return self._offset + int(seconds * 1e9)


def _about_decision(ended: Ended) -> Attributes:
    if ended.decision is None:
        return {}
    model, tokens, method, reason = ended.decision
    return {names.MODEL: model, names.TOKENS: tokens, names.COUNTED: method, names.REASON: reason}


def _about_answer(sent: Sent, ended: Ended, *, streamed: bool) -> Attributes:
    found: Attributes = {names.RESPONSE_MODEL: str(json.loads(sent.endpoint.served_json))}
    relayed = ended.relayed
    if relayed is None:
        return found
    if relayed.prompt_tokens is not None:
        found[names.INPUT_TOKENS] = relayed.prompt_tokens
    if relayed.completion_tokens is not None:
        found[names.OUTPUT_TOKENS] = relayed.completion_tokens
    if streamed and relayed.chunks:
        found[names.FIRST_CHUNK] = relayed.first_byte_at - sent.began
    return found


def _error_of(sent: Sent, ended: Ended | None) -> str:
    """``ended``: the request's end, if it is also this attempt's."""
    if sent.error:
        return sent.error
    if sent.status >= 400:
        return str(sent.status)
    if ended is None or ended.outcome in ("ok", "client_error"):
        return ""
    return ended.problem or (_CANCELLED if ended.outcome == _CANCELLED else ended.outcome)
