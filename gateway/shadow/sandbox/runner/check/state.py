"""What else a program shares with its tests beside values: random numbers to come, what was printed, logged, warned."""

from __future__ import annotations

import io
import logging
import random
import struct
import sys
import warnings
from collections.abc import Callable
from typing import Any

from .codec_errors import class_names, is_of_unittest, loaded_class
from .codec_plain import exact, loaded
from .codec_types import CodecError
from .harness import Swallowed

_WORDS = 624
_python = struct.Struct(f"<{_WORDS + 1}I")
_numpy = struct.Struct(f"<{_WORDS}I")
# What one message may print, log or warn; more is cut off.
_MOST_TEXT, _MOST_RECORDS = 2**20, 1000


class RandomState:
    """The states of `random` and `numpy.random`, sent when they changed since they last crossed."""

    def __init__(self) -> None:
        self._known: tuple[Any, ...] = (None, None)

    def changed(self) -> tuple[Any, ...]:
        """(Python's, numpy's), each None if the other side has it already."""
        now = (_python_state(), _numpy_state())
        changed = tuple(None if new == old else new for new, old in zip(now, self._known))  # noqa: B905 (two each)
        self._known = now
        return changed

    def take(self, sent: Any) -> None:
        """Raises CodecError for what is no such state."""
        python, numpy = exact(sent, tuple)
        if python is None and numpy is None:
            return
        if python is not None:
            _set_python(*exact(python, tuple))
        if numpy is not None:
            _set_numpy(*exact(numpy, tuple))
        self._known = (_python_state(), _numpy_state())


def _python_state() -> tuple[Any, ...]:
    _, words, gauss = random.getstate()
    return _python.pack(*words), gauss


def _set_python(words: Any, gauss: Any) -> None:
    numbers = _python.unpack(exact(words, bytes))
    if numbers[-1] > _WORDS:
        raise CodecError("no random state")
    random.setstate((3, numbers, exact(gauss, float, type(None))))


def _numpy_state() -> tuple[Any, ...] | None:
    numpy = loaded("numpy")
    if numpy is None or "numpy.random" not in sys.modules:
        return None
    state = numpy.random.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return None
    return (
        state["state"]["key"].astype("<u4").tobytes(),
        int(state["state"]["pos"]),
        int(state["has_gauss"]),
        float(state["gauss"]),
    )


def _set_numpy(key: Any, position: Any, has_gauss: Any, gauss: Any) -> None:
    numpy = loaded("numpy")
    if numpy is None or "numpy.random" not in sys.modules:
        return
    words = _numpy.unpack(exact(key, bytes))
    if not 0 <= exact(position, int) <= _WORDS or exact(has_gauss, int) not in (0, 1):
        raise CodecError("no random state")
    numpy.random.set_state(("MT19937", numpy.array(words, numpy.uint32), position, has_gauss, exact(gauss, float)))


class Effects:
    """Candidate's side: collects what it prints, logs and warns, to be done again on the tests' side."""

    def __init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self._records: list[tuple[Any, ...]] = []

    def install(self) -> None:
        sys.stdin, sys.stdout, sys.stderr = Swallowed(), self.out, self.err
        logging.Logger.isEnabledFor = lambda *_: True  # type: ignore[method-assign]
        handle = logging.Logger.callHandlers

        def note(logger: logging.Logger, record: logging.LogRecord) -> None:
            self._note(("log", logger.name, record.levelno, record.getMessage()))
            if record.levelno >= logger.getEffectiveLevel():
                handle(logger, record)

        logging.Logger.callHandlers = note  # type: ignore[method-assign,assignment]
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *_, **__: self._note(
            ("warning", class_names(category), str(message))
        )

    def _note(self, record: tuple[Any, ...]) -> None:
        if len(self._records) < _MOST_RECORDS:
            self._records.append(record)

    def taken(self) -> tuple[Any, ...]:
        """All since the last time."""
        texts = []
        for stream in (self.out, self.err):
            texts.append(stream.getvalue()[:_MOST_TEXT])
            stream.seek(0)
            stream.truncate()
        records, self._records = tuple(self._records), []
        return *texts, records


def do_again(effects: Any) -> None:
    """Tests' side: print, log and warn as the candidate did. Raises CodecError for what is no such list."""
    out, err, records = exact(effects, tuple)
    for text, stream in ((exact(out, str), sys.stdout), (exact(err, str), sys.stderr)):
        if text:
            _try(stream.write, text)
    for kind, name, *details in exact(records, tuple)[:_MOST_RECORDS]:
        if kind == "log":
            level, message = details
            _try(_log, exact(name, str), exact(level, int), exact(message, str))
        elif kind == "warning":
            (message,) = details
            _try(_warn, exact(name, tuple), exact(message, str))


def _try(do: Callable[..., object], *args: object) -> None:
    """The tests' own streams, handlers and filters may raise; that is no fault of the message."""
    try:
        do(*args)
    except CodecError:
        raise
    except Exception:
        pass


def _log(name: str, level: int, message: str) -> None:
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        logger.handle(logging.LogRecord(name, level, "<candidate>", 0, message, (), None))


def _warn(names: tuple[Any, ...], message: str) -> None:
    for module, name in names:
        category = loaded_class(exact(module, str), exact(name, str))
        if category is not None and Warning in type.mro(category) and not is_of_unittest(category):
            warnings.warn(message, category, stacklevel=1)
            return


_FIGURES = ("close", "clf", "cla")


def share_figures(link: Any) -> None:
    """Tests' side: what the tests close or clear in matplotlib's pyplot, the candidate's side does to its own."""
    pyplot = loaded("matplotlib.pyplot")
    for name in _FIGURES if pyplot is not None else ():
        setattr(pyplot, name, _both(link, name, getattr(pyplot, name)))


def _both(link: Any, name: str, here: Callable[..., None]) -> Callable[..., None]:
    def both(*args: Any) -> None:
        here(*args)
        link.ask("figures", None, name, *args)

    return both


def change_figures(name: str, *args: Any) -> None:
    """Candidate's side: as far as it has any."""
    pyplot = loaded("matplotlib.pyplot")
    if pyplot is not None and name in _FIGURES:
        getattr(pyplot, name)(*args)
