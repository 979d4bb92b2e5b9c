"""A tokenizer.json with a real model's number of tokens and its special tokens at their real ids.

vLLM refuses stop ids outside of the vocabulary, and counts a special token as one: both have to be as they really are.
What lies between are the tokens of any byte-level BPE.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.families import Model

Ids = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """``size``: of the matrices, more than there are tokens. ``written``: ids that a model may answer with.

    ``ends``: ids that end an answer; the first one's text is ``end``.
    """

    tokenizer: str
    size: int
    written: frozenset[int]
    ends: tuple[int, ...]
    end: str


@dataclass(frozen=True, slots=True)
class _Marks:
    """Published ids. ``before``: what the tokenizer puts before every bare prompt."""

    ids: Ids
    ends: tuple[int, ...]
    before: tuple[str, ...] = field(default=())


def _in_a_row(first: int, *texts: str) -> dict[str, int]:
    return {text: first + offset for offset, text in enumerate(texts)}


# The marks of a family's tokenizers, by their number of tokens. CodeGeeX4's are those of GLM-4's tokenizer.json;
# CodeGeeX2's those of ChatGLM2, "sop" written as GLM-4 writes it: it must not be found within words. Of IQuest's, known
# from ids that the real tokenizer produced, the text of 75,869 is not: it is the third id that ends an answer.
_MARKS: Mapping[tuple[str, int], _Marks] = {
    ("codegeex", 151_552): _Marks(
        _in_a_row(
            151_329,
            *("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"),
            *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
            *("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
        ),
        ends=(151_329, 151_336, 151_338),
    ),
    ("codegeex", 65_024): _Marks(
        _in_a_row(0, "<unk>", "<s>", "</s>") | {"[gMASK]": 64_790, "<sop>": 64_792},
        ends=(2,),
        before=("[gMASK]", "<sop>"),
    ),
    ("iquest", 76_800): _Marks(
        _in_a_row(0, "<unk>", "<s>", "</s>")
        | _in_a_row(75_858, "<CLS>", "<SEP>", "<EOD>", "<MASK>", "<PAD>", "<|im_start|>", "<|im_end|>")
        | {"<|endoftext|>": 75_869},
        ends=(75_864, 2, 75_869),
    ),
}


def vocabulary(model: Model, source: Path) -> Vocabulary:
    """``source``: a tokenizer.json, plain or gzipped, of a byte-level BPE.

    One that has the model's special tokens at their ids is the real one, and is left as it is; of any other the
    ordinary tokens are taken. Raises OSError, and ValueError for what cannot be used.
    """
    size = model.architecture.vocabulary if model.architecture else 0
    marks = _MARKS.get((model.family, size))
    if marks is None:
        raise ValueError(f"the ids of the special tokens of {model.name} are not known here: no tiny one can be made")
    data = source.read_bytes()
    try:
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
        given = json.loads(text)
        described = given if _is_real(given, marks) else _with_marks(given, marks, _all_ids(model, marks), size)
        return _read(described, marks, size)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = error if isinstance(error, ValueError) else f"it is no tokenizer.json of a BPE ({error!r})"
        raise ValueError(f"{source} cannot be the tokenizer of a tiny {model.name}: {reason}") from None


def _is_real(given: Mapping[str, Any], marks: _Marks) -> bool:
    return marks.ids.items() <= _added_ids(given).items()


def _added_ids(described: Mapping[str, Any]) -> dict[str, int]:
    return {token["content"]: token["id"] for token in described["added_tokens"]}


def _all_ids(model: Model, marks: _Marks) -> Ids:
    """Texts whose ids are not published stand behind all others."""
    unpublished = [text for text in model.special_tokens if text not in marks.ids]
    return {**marks.ids, **_in_a_row(max(marks.ids.values()) + 1, *unpublished)}


def _with_marks(given: Mapping[str, Any], marks: _Marks, ids: Ids, size: int) -> dict[str, Any]:
    """The given tokenizer's ordinary tokens in their order, from the first free id on, and the marks."""
    base = given["model"]
    if base["type"] != "BPE":
        raise ValueError(f"it is a {base['type']}, not a BPE")
    taken = set(ids.values())
    first = next(number for number in range(size) if number not in taken)
    room = min(number for number in [*taken, size] if number > first) - first
    left_out = {token["content"] for token in given["added_tokens"]} | set(ids)
    ordinary = [token for token in sorted(base["vocab"], key=base["vocab"].__getitem__) if token not in left_out]
    if len(ordinary) > room:
        raise ValueError(f"it has {len(ordinary):,} tokens, and there is room for {room:,}")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        **given,
        # Also among the ordinary ones, which is what makes `tokenizers` keep ids that leave a gap before them.
        "model": {**base, "vocab": {**_in_a_row(first, *ordinary), **ids}},
        "added_tokens": [{"id": number, "content": text, **flags} for text, number in sorted(ids.items(), key=_second)],
        "post_processor": _putting_before(marks) if marks.before else None,
    }


def _second(pair: tuple[str, int]) -> int:
    return pair[1]


def _putting_before(marks: _Marks) -> dict[str, Any]:
    before = [{"SpecialToken": {"id": text, "type_id": 0}} for text in marks.before]
    text, pair = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [*before, text],
        "pair": [*before, text, pair],
        "special_tokens": {name: {"id": name, "ids": [marks.ids[name]], "tokens": [name]} for name in marks.before},
    }


def _read(described: dict[str, Any], marks: _Marks, size: int) -> Vocabulary:
    added = _added_ids(described)
    tokens = set(described["model"]["vocab"].values()) | set(added.values())
    if max(tokens) >= size:
        raise ValueError(f"it has the id {max(tokens):,}, the model only {size:,} of them")
    texts = {number: text for text, number in added.items()}
    return Vocabulary(
        tokenizer=json.dumps(described, ensure_ascii=False, separators=(",", ":")),
        size=size,
        written=frozenset(tokens - set(added.values()) | set(marks.ends)),
        ends=marks.ends,
        end=texts[marks.ends[0]],
    )
