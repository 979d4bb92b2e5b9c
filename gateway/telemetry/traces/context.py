"""W3C trace context, level 1 (https://www.w3.org/TR/trace-context-1/): what a client's traceparent says.

Its tracestate is passed on unread: nothing of it concerns us, and nothing of it is shown to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
SAMPLED = 0x01
RANDOM = 0x02
"""Of level 2: the trace id's right half is random, which is what sampling by it rests on."""

_fields = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?").fullmatch


class Context(NamedTuple):
    trace_id: int
    span_id: int
    flags: int

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)


def context_of(headers: Sequence[tuple[bytes, bytes]]) -> Context | None:
    """None without a traceparent, with several, and for one that the specification tells to ignore."""
    given = [value for name, value in headers if name == TRACEPARENT]
    found = _fields(given[0].strip(b" \t")) if len(given) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):  # later versions may have more fields
        return None
    context = Context(int(trace_id, 16), int(span_id, 16), int(flags, 16))
    return context if context.trace_id and context.span_id else None


def traceparent(trace_id: int, span_id: int, flags: int) -> bytes:
    """The header's line."""
    return b"traceparent: 00-%032x-%016x-%02x\r\n" % (trace_id, span_id, flags)
