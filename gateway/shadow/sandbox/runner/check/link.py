"""The link between the two sides: a stream of framed messages, each a request or its answer, strictly nested."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from .codec import LARGEST, Codec
from .codec_numpy import kinds as numpy_kinds
from .codec_numpy import values as numpy_values
from .codec_pandas import kinds as pandas_kinds
from .codec_pandas import values as pandas_values
from .codec_plain import exact, loaded
from .codec_types import CodecError, Unplain
from .state import RandomState

_head = struct.Struct("<Q?")  # length; whether both sides forget the mutable objects that they know
_DEEPEST = 100  # requests within requests


class LinkBroken(BaseException):
    """The other side is gone or speaks another language. No `Exception`, so that no test expects it by chance."""


class Link:
    """One end. `perform` does what the other side asks; `effects` and `take_effects` carry what else happened.

    One side leads: it decides when both forget the mutable objects that they know.
    """

    def __init__(
        self,
        connection: socket.socket,
        codec: Codec,
        perform: Callable[[str, object, tuple[Any, ...], dict[str, Any]], Any],
        *,
        leads: bool,
        effects: Callable[[], Any] = lambda: None,
        take_effects: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._connection, self._codec, self._perform = connection, codec, perform
        self._leads, self._effects, self._take_effects = leads, effects, take_effects
        self._random = RandomState()
        self._lock = threading.RLock()
        self._depth = 0
        self._libraries = 0
        self._fresh = False
        self._pending: BaseException | None = None
        self.broken: str | None = None
        self.private = frozenset[str]()

    def ask(self, operation: str, target: object, /, *args: object, **kwargs: object) -> Any:
        """What the other side answers; raises the exception that it raised there, Unplain, or LinkBroken."""
        with self._lock:
            if self._depth >= _DEEPEST:
                raise RecursionError("too many calls across the link within each other")
            if not self._depth and self._codec.is_full():
                self._codec.forget()
                self._fresh = True
            self._depth += 1
            try:
                self._send("ask", (operation, target, args, tuple(kwargs.items())))
                while True:
                    kind, payload = self._receive()
                    if kind != "ask":
                        break
                    self._serve(payload)
            finally:
                self._depth -= 1
            if not self._depth and self._pending is not None:
                pending, self._pending = self._pending, None
                raise pending
            return self._answer(kind, payload)

    def serve(self) -> None:
        """Do what the other side asks until it hangs up."""
        try:
            while True:
                kind, payload = self._receive()
                if kind != "ask":
                    self._break("an answer to nothing")
                self._depth += 1
                self._serve(payload)
                self._depth -= 1
                self._pending = None
        except LinkBroken:
            return

    def _serve(self, payload: Any) -> None:
        operation, target, args, kwargs = self._request(payload)
        try:
            answer = self._perform(operation, target, args, kwargs)
        except Exception as error:
            self._send_error(error)
        except LinkBroken:
            raise
        except BaseException as error:
            self._put_off(error)
            self._send("unplain", error.type_name if isinstance(error, Unplain) else type_name(error), restate=False)
        else:
            try:
                self._send("answer", answer)
            except Unplain as error:
                self._put_off(error)
                self._send("unplain", error.type_name, restate=False)

    def _put_off(self, error: BaseException) -> None:
        """What ends a test must not end the conversation in its midst: it is raised when the outermost call is over."""
        if self._depth and self._pending is None:
            self._pending = error

    def _request(self, payload: Any) -> tuple[str, Any, tuple[Any, ...], dict[str, Any]]:
        try:
            operation, target, args, pairs = exact(payload, tuple)
            named = {exact(name, str): value for name, value in exact(pairs, tuple)}
            return exact(operation, str), target, exact(args, tuple), named
        except (CodecError, ValueError, TypeError):
            self._break("no request")

    def _send_error(self, error: Exception) -> None:
        try:
            self._send("raise", error)
        except Unplain:
            self._send("raise", Exception(str(error)), restate=False)

    def _answer(self, kind: str, payload: Any) -> Any:
        if kind == "unplain":
            raise Unplain(str(payload)[:200])
        if kind == "raise" and isinstance(payload, Exception):
            raise payload
        if kind != "answer":
            self._break("no answer")
        return payload

    def _send(self, kind: str, payload: object, *, restate: bool = True) -> None:
        self._learn()
        if self.broken:
            raise LinkBroken(self.broken)
        data = self._codec.dumps((kind, self._random.changed(), self._effects(), payload), restate=restate)
        try:
            self._connection.sendall(_head.pack(len(data), self._fresh) + data)
            self._fresh = False
        except OSError:
            self._break("the other side has hung up")

    def _receive(self) -> tuple[str, Any]:
        length, fresh = _head.unpack(self._read(_head.size))
        if fresh and self._leads:
            self._break("only the tests' side starts afresh")
        if fresh:
            self._codec.forget()
        if length > LARGEST:
            self._break(f"a message of {length} bytes")
        data = self._read(length)
        self._learn()
        try:
            kind, random, effects, payload = exact(self._codec.loads(data), tuple)
            self._random.take(random)
            self._take_effects(effects)
            return exact(kind, str), payload
        except Unplain as error:
            return "unplain", error.type_name
        except (CodecError, ValueError, TypeError, struct.error) as error:
            self._break(f"no message: {error}")

    def _read(self, length: int) -> bytes:
        if self.broken:
            raise LinkBroken(self.broken)
        data = bytearray()
        while len(data) < length:
            try:
                piece = self._connection.recv(min(length - len(data), 2**20))
            except OSError:
                piece = b""
            if not piece:
                self._break("the other side has hung up")
            data += piece
        return bytes(data)

    def _learn(self) -> None:
        """Teach the codec the libraries that were loaded meanwhile."""
        numpy, pandas = loaded("numpy"), loaded("pandas")
        if self._libraries < 1 and numpy is not None and "numpy.ma" in sys.modules and hasattr(numpy, "ma"):
            self._codec.learn(numpy_values(numpy), numpy_kinds(numpy))
            self._libraries = 1
        if self._libraries == 1 and pandas is not None and hasattr(pandas, "Period"):
            self._codec.learn(pandas_values(pandas), pandas_kinds(pandas))
            self._libraries = 2

    def _break(self, why: str) -> NoReturn:
        self.broken = why
        self._connection.close()
        raise LinkBroken(why)


def type_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"[:200]
