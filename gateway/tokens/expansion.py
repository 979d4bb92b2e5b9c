"""How many tokens a text can become at most, read off a tokenizer.json."""

from __future__ import annotations

from typing import Any, NamedTuple

# UTF-8 bytes that one byte can become: U+0390 (2 bytes, 6 decomposed), U+FDFA (3 bytes, 33 composed or decomposed).
_NORMALIZERS = {"NFC": 3, "NFD": 3, "NFKC": 11, "NFKD": 11}
_KEEPING = frozenset({"ByteLevel", "Split", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit", "Metaspace"})


class Expansion(NamedTuple):
    """A text of n UTF-8 bytes has at most ``factor`` x n + ``around`` + ``prefixed`` tokens (None: unknown).

    ``around``: tokens that the post-processor adds; ``prefixed``: 1 where a prefix is put before the text. A prefix
    before each segment between special tokens needs no term of its own: a special token is one token, and its text
    two bytes or more.
    """

    factor: int | None
    around: int
    prefixed: int


def expansion_of(description: dict[str, Any]) -> Expansion:
    around = _around(description.get("post_processor"))
    short = any(len(token["content"].encode()) < 2 for token in description.get("added_tokens") or [])
    if description["model"].get("type") != "BPE" or around is None or short:
        return Expansion(None, around or 0, 1)
    normalized = _normalizer(description.get("normalizer"))
    split = _pre_tokenizer(description.get("pre_tokenizer"))
    if normalized is None or split is None:
        return Expansion(None, around, 1)
    return Expansion(normalized[0], around, normalized[1] + split)


def _normalizer(normalizer: dict[str, Any] | None) -> tuple[int, int] | None:
    """(factor, prefix) or None where it is unknown."""
    if normalizer is None:
        return 1, 0
    kind = normalizer.get("type")
    if kind == "Sequence":
        factor, prefix = 1, 0
        for step in normalizer["normalizers"]:
            found = _normalizer(step)
            if found is None:
                return None
            factor, prefix = factor * found[0], prefix + found[1]
        return factor, prefix
    if kind == "Prepend" and len(normalizer["prepend"]) == 1:
        return 1, len(normalizer["prepend"].encode())
    if kind == "Replace" and normalizer["pattern"] == {"String": " "}:
        return len(normalizer["content"].encode()) or 1, 0
    return (_NORMALIZERS[kind], 0) if kind in _NORMALIZERS else None


def _pre_tokenizer(step: dict[str, Any] | None) -> int | None:
    """The prefixes it puts before a text, or None where it is unknown."""
    if step is None:
        return 0
    kind = step.get("type")
    if kind == "Sequence":
        found = [_pre_tokenizer(inner) for inner in step["pretokenizers"]]
        return None if None in found else sum(prefix for prefix in found if prefix)
    if kind not in _KEEPING:
        return None
    if kind == "Metaspace":
        return 3
    return 1 if step.get("add_prefix_space") else 0


def _around(processor: dict[str, Any] | None) -> int | None:
    if processor is None or processor.get("type") == "ByteLevel":
        return 0
    if processor.get("type") == "TemplateProcessing":
        return sum("SpecialToken" in item for item in processor["single"])
    if processor.get("type") == "Sequence":
        found = [_around(step) for step in processor["processors"]]
        return None if None in found else sum(added for added in found if added)
    return 2 if processor.get("type") in ("BertProcessing", "RobertaProcessing") else None
