"""Fill in the middle (FIM): what a client wants filled in, and in what form a family wants to be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


class Reference(NamedTuple):
    """Another file that helps."""

    path: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Infill:
    """The code before and after the gap. ``path`` and ``language`` are empty where the client did not say.

    ``mode``: whether the rest of a line or a block of lines is wanted, for families that are told.
    """

    prefix: str
    suffix: str
    path: str = ""
    language: str = ""
    mode: Literal["line", "block"] = "block"
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FimFormat:
    """``frame``: the whole prompt, with every special token that the model expects and its tokenizer does not add.

    ``markers``: the frame's special tokens, and those by which an answer goes on to something else. The client's code
    must not contain them, since a tokenizer would take them for the frame's own. ``stop_token_ids``: the special
    tokens, all of which end the middle. ``stops``: the texts of those whose ids are not known, the likeliest first.
    Ids and texts together must cover what the model may write: nothing else keeps it out of the answer.
    ``fields``: what the frame needs of the request besides.
    """

    frame: Callable[[Infill], str]
    markers: tuple[str, ...]
    stop_token_ids: tuple[int, ...]
    stops: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
