"""What is wrong with an answer, if anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_GAPS = 8


class WrongContent(Exception):
    """An answer came, with status 200, and is not what was asked for."""


class Refused(Exception):
    """There was no answer: another status, or no connection."""


@dataclass(slots=True)
class Answer:
    """One streamed answer as it was read. Times are seconds from the request sent.

    ``first``: to the first chunk that has text; ``gaps``: between such chunks; ``total``: to the end. ``left``: the
    person did not wait for the end. ``refusal``: why there was no answer; ``broken``: why it could not be read on.
    ``late``: how much later than planned it was asked for.
    """

    kind: str
    status: int = 0
    model: str = ""
    pieces: list[str] = field(default_factory=list)
    finish_reason: str = ""
    usage: dict[str, Any] | None = None
    done: bool = False
    left: bool = False
    error: str = ""
    broken: str = ""
    refusal: str = ""
    first: float | None = None
    gaps: list[float] = field(default_factory=list)
    total: float = 0.0
    size: int = 0
    late: float = 0.0

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def prompt_tokens(self) -> int:
        return int((self.usage or {}).get("prompt_tokens") or 0)

    @property
    def tokens(self) -> int:
        return int((self.usage or {}).get("completion_tokens") or 0)

    @property
    def tokens_per_second(self) -> float | None:
        """After the first token; None without usage, and for few chunks, which may have come all at once."""
        during = sum(self.gaps)
        return (self.tokens - 1) / during if self.tokens > 1 and during > 0 and len(self.gaps) >= _GAPS else None


@dataclass(frozen=True, slots=True)
class Expected:
    """Which model has to answer: ``every`` kind, or by kind; none: any."""

    every: str = ""
    by_kind: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Expected:
        """`MODEL`, or `KIND=MODEL,KIND=MODEL`. Raises ValueError."""
        if "=" not in text:
            return cls(every=text)
        pairs = [part.partition("=") for part in text.split(",")]
        if not all(kind and model for kind, _, model in pairs):
            raise ValueError(f"--expect {text!r} is not MODEL, or KIND=MODEL,KIND=MODEL")
        return cls(by_kind={kind: model for kind, _, model in pairs})

    def model(self, kind: str) -> str:
        return self.by_kind.get(kind, self.every)


def failure(answer: Answer, expected: str) -> Exception | None:
    """The first thing that is wrong. Messages hold nothing that differs from request to request: they are counted."""
    if answer.refusal:
        return Refused(answer.refusal)
    if answer.error:
        return WrongContent(f"an error event: {answer.error}")
    if answer.broken:
        return WrongContent(f"the stream broke: {answer.broken}")
    if answer.left:
        return None
    if not answer.done:
        return WrongContent("the stream ended without [DONE]")
    if not answer.finish_reason:
        return WrongContent("no finish_reason")
    if not answer.text.strip():
        return WrongContent("an empty answer")
    if not answer.tokens:
        return WrongContent("usage was asked for and is missing")
    if expected and answer.model != expected:
        return WrongContent(f"{answer.model or 'no model'} answered, not {expected}")
    return None
