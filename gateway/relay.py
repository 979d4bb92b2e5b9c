"""From one attempt's answer to the client: bytes as they come, whole frames of a stream, nothing parsed.

A `Relay` is pushed by both transports and owns what can go wrong between them: the deadlines of an attempt, a client
that reads slowly (the model server's side is paused), a model server that breaks off.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.config import TimeoutSettings
from gateway.errors import ApiError
from gateway.exchange import Exchange
from gateway.upstream_connection import Broken, UpstreamConnection

LARGEST_FRAME = 16 * 1024 * 1024  # a stream that holds back more without a blank line is no event stream
LONGEST_COPY = 1024 * 1024  # bytes of an answer; a longer one is not copied
KEEP_ALIVE = b": keep-alive\n\n"
_DONE, _NO_CHOICE = b"data: [DONE]", b'"choices":[]'
_BLANK_LINES = (b"\n\n", b"\n\r\n")

_prompt_tokens = re.compile(rb'"prompt_tokens":\s*(\d{1,9})').search
_completion_tokens = re.compile(rb'"completion_tokens":\s*(\d{1,9})').search
# A frame that carries usage and no choice: what `include_usage` adds.
_usage_frame = re.compile(rb'data: ?\{[^\n]*"choices":\s*\[\],[^\n]*"usage":\s*\{[^\n]*\r?\n\r?\n')
_null_usage = re.compile(rb',\s*"usage":\s*null(?=\s*[,}])')


@dataclass(slots=True)
class Outcome:
    """What the relay saw. Times are the timer's; token counts the model server's, None if it gave none.

    ``sent_at``: when the request was first written to a model server; 0 if it never was. ``chunks``: as they were
    passed on, of which each may hold several of the model server's. ``chunk_seconds``: the mean time from one of its
    to the next, of a whole stream; 0 if there is none.
    """

    sent_at: float = 0.0
    first_byte_at: float = 0.0
    chunk_seconds: float = 0.0
    streamed: bool = False
    chunks: int = 0
    bytes: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""


class Relay:
    """One answer on its way. ``first_byte_seconds`` is this prompt's patience, longer for a longer prompt."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        timeouts: TimeoutSettings,
        timer: Callable[[], float],
        first_byte_seconds: float,
        hide_usage: bool = False,
    ) -> None:
        self._exchange = exchange
        self._connection: UpstreamConnection | None = None
        self._clock = clock
        self._timeouts = timeouts
        self._timer = timer
        self._began = clock.now
        self._first_byte_seconds = first_byte_seconds
        self.hide_usage = hide_usage
        self._streaming = False
        self._paused = False
        self._tail = b""
        self._taken_out = 0  # events
        self._before = self._last = b""  # the newest two pieces: usage comes at the end
        self._spoke = clock.now
        self._over: asyncio.Future[None] | None = None
        self.outcome = Outcome()
        self.copied: list[bytes] | None = None
        """Where pieces of the answer are copied to, for the tap."""
        exchange.watcher = self

    # -- the story ------------------------------------------------------------------------------------------------

    def watch(self, connection: UpstreamConnection) -> None:
        """From now on the deadlines are this connection's."""
        self._connection = connection
        self._began = self._clock.now

    def sent(self) -> None:
        """The request has been written to a model server. Of several attempts the first counts."""
        if not self.outcome.sent_at:
            self.outcome.sent_at = self._timer()

    async def run(self, status: int, lines: bytes, *, stream: bool) -> Outcome:
        """Sends the head and then the body to its end. A broken answer ends as the client can see, and in `outcome`."""
        exchange, connection = self._exchange, self._connection
        assert connection is not None
        if connection.complete and not stream:
            body = connection.take()
            self._note(body)
            exchange.start(status, lines, len(body))
            exchange.finish(body)
        else:
            self._streaming = self.outcome.streamed = stream
            exchange.start(status, lines, None if stream else connection.length)
            if exchange.connection.paused:  # by an earlier answer, which the client has not read
                self.pause()
            connection.deliver_to(self)
            if not exchange.finished:
                exchange.flush()
                self._over = asyncio.get_running_loop().create_future()
                await self._over
        exchange.watcher = None
        if self._paused:
            self.resume()  # the connection may be kept for another request, which has to be able to read
        self._read_usage()
        return self.outcome

    # -- pushed by the model server's side ------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        try:
            if self._streaming:
                data = self._whole_frames(data)
                if not data:
                    return
                if self.hide_usage and b'"usage"' in data:
                    data = self._without_usage(data)
                    if not data:
                        return
                if data.startswith(b":") and not self.outcome.chunks and _only_comments(data):
                    self.outcome.bytes += len(data)  # a sign of life, not the answer's beginning
                    self._exchange.write(data)
                    return
            self._note(data)
            self._exchange.write(data)
        except Exception as fault:
            self._give_up(fault)

    def end(self, error: Exception | None) -> None:
        try:
            self._end(error)
        except Exception as fault:
            self._give_up(fault)
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    # -- pushed by the client's side ------------------------------------------------------------------------------

    def pause(self) -> None:
        self._paused = True
        if self._connection is not None and not self._connection.closed:
            self._connection.transport.pause_reading()

    def resume(self) -> None:
        self._paused = False
        if self._connection is not None and not self._connection.closed:
            self._connection.since = self._clock.now
            self._connection.transport.resume_reading()

    def gone(self) -> None:
        """Nothing may be written to the client any more."""
        if self._connection is not None:
            self._connection.close()

    def stop(self, error: ApiError) -> bool:
        if self._connection is None or self._connection.closed:
            return False
        self._connection.fail(error)
        return True

    def tick(self, now: float) -> None:
        timeouts = self._timeouts
        connection = self._connection
        if connection is None:
            return
        if self.copied is not None and self.outcome.bytes > LONGEST_COPY:
            self.copied.clear()
            self.copied = None
        if now - self._began > timeouts.total:
            connection.fail(_timed_out("total_timeout", f"The answer was not complete within {timeouts.total:g} s."))
        elif not connection.status:
            if now - self._began > self._first_byte_seconds:
                seconds = f"{self._first_byte_seconds:.0f} s"
                connection.fail(_timed_out("first_byte_timeout", f"The model server gave no answer within {seconds}."))
        elif self._paused:
            return
        elif self._streaming and not self.outcome.chunks:
            # vLLM sends a stream's head at once, and its first chunk after the prefill.
            if now - self._began > max(self._first_byte_seconds, timeouts.between_chunks):
                late = f"The model server sent nothing of the answer within {now - self._began:.0f} s."
                connection.fail(_timed_out("first_byte_timeout", late))
            else:
                self._keep_client(now, connection)
        elif now - connection.since > timeouts.between_chunks:
            quiet = f"The model server sent nothing for {timeouts.between_chunks:g} s."
            connection.fail(_timed_out("chunk_timeout", quiet))
        elif self._streaming:
            self._keep_client(now, connection)

    # -- details --------------------------------------------------------------------------------------------------

    def _end(self, error: Exception | None) -> None:
        if error is None:
            if self._streaming and self.outcome.chunks and self._connection is not None:
                self.outcome.chunk_seconds = self._chunk_seconds()
            self._exchange.finish(self._tail)  # the model server ended here; it is not ours to say that more is due
        elif self._streaming:
            self._end_broken_stream(error)
        else:
            self.outcome.error = _code(error)
            self._exchange.reset()

    def _give_up(self, fault: Exception) -> None:
        """Has `run` raise our own mistake: the transport would take it for a connection that the model server broke."""
        if self._over is None:
            raise fault  # `run` called
        if not self._over.done():
            self._over.set_exception(fault)
        if self._connection is not None:
            self._connection.close()

    def _keep_client(self, now: float, connection: UpstreamConnection) -> None:
        if now - max(connection.since, self._spoke) > self._timeouts.stream_keep_alive:
            self._spoke = now
            self._exchange.write(KEEP_ALIVE)

    def _whole_frames(self, data: bytes) -> bytes:
        """What ends with a blank line; the rest is held back until its own comes."""
        if self._tail:
            data = self._tail + data
            self._tail = b""
        if data.endswith(_BLANK_LINES):
            return data
        cut = max(
            data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0, data.rfind(b"\n\r\n") + 3 if b"\n\r\n" in data else 0
        )
        self._tail = data[cut:]
        if len(self._tail) > LARGEST_FRAME:
            self._tail = b""
            if self._connection is not None:
                self._connection.fail(Broken("the model server sent a frame without end"))
            return b""
        return data[:cut]

    def _without_usage(self, data: bytes) -> bytes:
        """Takes out what `include_usage` brought: the client did not ask for it."""
        at = 0
        while (frame := _usage_frame.search(data, at)) is not None:
            start = frame.start()
            if start and not data.endswith(_BLANK_LINES, 0, start):
                at = start + 1  # within another frame
                continue
            self._count_tokens(frame[0])
            self._taken_out += 1
            data = data[:start] + data[frame.end() :]
        return _null_usage.sub(b"", data)

    def _note(self, data: bytes) -> None:
        outcome = self.outcome
        if not outcome.chunks:
            outcome.first_byte_at = self._timer()
        outcome.bytes += len(data)
        outcome.chunks += 1
        self._before, self._last = self._last, data
        if self.copied is not None:
            self.copied.append(data)

    def _chunk_seconds(self) -> float:
        """The end comes with the last chunk, so its time will do: to note every chunk's would cost a call each.

        Usage and [DONE], which end a stream, are no output.
        """
        assert self._connection is not None
        ending = (_DONE in self._last) + (_NO_CHOICE in self._last or _NO_CHOICE in self._before)
        gaps = self._connection.pieces - self._taken_out - ending - 1
        return (self._timer() - self.outcome.first_byte_at) / gaps if gaps > 0 else 0.0

    def _read_usage(self) -> None:
        if self.outcome.prompt_tokens is not None:
            return
        tail = self._last[-2048:]
        if b'"usage"' not in tail:
            tail = self._before[-2048:]
        at = tail.rfind(b'"usage"')
        if at >= 0:
            self._count_tokens(tail[at:])

    def _count_tokens(self, usage: bytes) -> None:
        if prompt := _prompt_tokens(usage):
            self.outcome.prompt_tokens = int(prompt[1])
        if completion := _completion_tokens(usage):
            self.outcome.completion_tokens = int(completion[1])

    def _end_broken_stream(self, error: Exception) -> None:
        """One whole error event, then the end, without [DONE]: a client must not take the stream for complete."""
        self.outcome.error = _code(error)
        self._tail = b""
        told = (
            error
            if isinstance(error, ApiError)
            else ApiError(502, f"The answer broke off: {error}.", code="upstream_broken")
        )
        self._exchange.keep_alive = False
        self._exchange.finish(b"data: " + told.body() + b"\n\n")


def _only_comments(frames: bytes) -> bool:
    return all(line.startswith(b":") for line in frames.splitlines() if line)


def _timed_out(code: str, message: str) -> ApiError:
    return ApiError(504, message, code=code)


def _code(error: Exception | None) -> str:
    return error.code if isinstance(error, ApiError) else "upstream_broken"
