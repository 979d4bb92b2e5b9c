"""Tokenizing in the server: exact, and off the event loop where it takes time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from gateway.engines.simulated.errors import tokenizer_failed

_INLINE_CHARACTERS = 2_000  # below this a thread costs more than the tokenizing


class PromptTokens:
    """One tokenizer.json. ``encode_batch_fast`` releases the interpreter lock, ``encode`` does not."""

    def __init__(self, path: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(path))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    async def encode(self, text: str, *, special: bool) -> Encoding:
        if len(text) <= _INLINE_CHARACTERS:
            return self._encode(text, special)
        return await asyncio.to_thread(self._encode, text, special)

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def _encode(self, text: str, special: bool) -> Encoding:
        try:
            return self.tokenizer.encode_batch_fast([text], add_special_tokens=special)[0]
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of the regex engine is no Exception
            raise tokenizer_failed() from error
