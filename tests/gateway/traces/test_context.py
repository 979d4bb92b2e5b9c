"""What is taken from a client's traceparent is what W3C's specification says, and what OpenTelemetry takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.telemetry.traces.context import Context, context_of, traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WHOLE = f"00-{TRACE}-{PARENT}-01"
FOUND = Context(int(TRACE, 16), int(PARENT, 16), 1)


def parsed(*values: str) -> Context | None:
    return context_of([(b"host", b"x"), *((b"traceparent", value.encode()) for value in values)])


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (WHOLE, FOUND),
        (f" \t{WHOLE} ", FOUND),
        (f"00-{TRACE}-{PARENT}-00", FOUND._replace(flags=0)),
        (f"00-{TRACE}-{PARENT}-03", FOUND._replace(flags=3)),
        (f"01-{TRACE}-{PARENT}-01", FOUND),  # a later version, with and without more
        (f"cc-{TRACE}-{PARENT}-01-what-comes", FOUND),
    ],
)
def test_what_is_taken(given: str, found: Context) -> None:
    assert parsed(given) == found


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00-1-2-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01-",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00 {TRACE} {PARENT} 01",
        WHOLE + "\n",
        "é" * 27,
    ],
)
def test_what_is_ignored(given: str) -> None:
    assert parsed(given) is None


def test_none_and_several_are_ignored() -> None:
    assert parsed() is None
    assert parsed(WHOLE, WHOLE) is None


_field = st.text("0123456789abcdefF-", max_size=34)
_near = st.builds(
    "{}-{}-{}-{}{}".format,
    st.sampled_from(["00", "01", "ff", "0", "fe"]) | _field,
    st.sampled_from([TRACE, "0" * 32]) | _field,
    st.sampled_from([PARENT, "0" * 16]) | _field,
    st.sampled_from(["00", "01", "ff", "1"]) | _field,
    st.sampled_from(["", "-", "-x", "x"]),
)


@given(_near | st.text(st.characters(codec="ascii"), max_size=80).filter(lambda text: "\n" not in text))
def test_the_same_as_opentelemetry_takes(given: str) -> None:
    span = trace.get_current_span(TraceContextTextMapPropagator().extract({"traceparent": given}))
    context = span.get_span_context()
    theirs = Context(context.trace_id, context.span_id, int(context.trace_flags)) if context.is_valid else None
    assert parsed(given) == theirs


def test_a_line_is_read_as_it_was_written() -> None:
    line = traceparent(*FOUND)
    assert line == f"traceparent: {WHOLE}\r\n".encode()
    assert traceparent(1, 2, 3) == b"traceparent: 00-%032d-%016d-03\r\n" % (1, 2)
