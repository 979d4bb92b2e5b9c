r"""Where a text may be cut so that counting the pieces gives exactly the count of the whole.

Known for byte-level tokenizers whose pre-tokenizer is one of the patterns below. In all of them a run of letters is
only continued by letters, a run of digits by digits, and nothing looks behind: where such a run ends one match ends
and the next begins. The look-ahead `\s+(?!\S)` sees only what follows blanks, and no cut but the one behind a newline
follows any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

PIECE_BYTES = 8 * 1024

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
GLM4 = _WORDS % "{1,3}"  # also Llama 3's
QWEN2 = _WORDS % ""
KNOWN = frozenset({GPT2, GLM4, QWEN2})

# ASCII, and the common CJK block, which are letters in every version of Unicode. A newline only between two visible
# characters: GPT-2's pattern splits a longer run of blanks by what follows it.
_cut = re.compile(
    r"[A-Za-z](?=[\x00-@\[-`{-\x7f])|[0-9](?=[\x00-/:-\x7f])|(?<=[!-~])\n(?=[!-~])"
    r"|[\u4e00-\u9fa5](?=[\x00-@\[-`{-\x7f，。、；：！？（）《》“”])"
).finditer
_STRIDES = (64, 1024, PIECE_BYTES)


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of at most PIECE_BYTES bytes; what can't be cut comes last, whole.

    A piece depends on nothing that follows its own 8 KB, so two texts with the same beginning share pieces.
    """
    start, total = 0, len(text)
    step = PIECE_BYTES if text.isascii() else PIECE_BYTES // 4
    while total - start > step:
        end = _last_cut(text, start, start + step)
        if end is None:
            break
        yield text[start:end]
        start = end
    if start < total:
        yield text[start:]


def _last_cut(text: str, start: int, end: int) -> int | None:
    """The last place to cut in (start, end]."""
    for stride in _STRIDES:
        last = None
        for match in _cut(text, max(start, end - stride), end + 1):
            last = match.end()
        if last is not None and start < last <= end:
            return last
    return None


def slice_near(text: str, at: int, size: int) -> str:
    """About ``size`` characters from about ``at``, cut where the whole text's tokens end too, if possible."""
    first = next(_cut(text, at, min(len(text), at + size)), None)
    start = first.end() if first else at
    last = next(_cut(text, min(len(text), start + size), min(len(text), start + 2 * size)), None)
    return text[start : last.end() if last else start + size]
