"""Tokenizing in the server: exact, and off the event loop where it takes time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from gateway.engines.simulated.errors import no_text, text_too_long, tokenizer_failed

_INLINE_CHARACTERS = 2_000  # below this a thread costs more than the tokenizing


class PromptTokens:
    """One tokenizer.json. ``encode_batch_fast`` releases the interpreter lock, ``encode`` does not."""

    def __init__(self, path: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(path))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        vocabulary = self.tokenizer.get_vocab()
        self.vocabulary = len(vocabulary)
        self._longest = max(map(len, vocabulary))  # characters of a token, as the vocabulary spells it

    def check_length(self, text: str, window: int) -> None:
        """Raises the 400 of a text that can't fit, whatever its tokens."""
        most = window * self._longest
        if len(text) > most:
            raise text_too_long(window, len(text), most)

    async def encode(self, text: str, *, special: bool) -> Encoding:
        if len(text) <= _INLINE_CHARACTERS:
            return self._encode(text, special)
        return await asyncio.to_thread(self._encode, text, special)

    def decode(self, ids: Sequence[int]) -> str:
        """Numbers that are no token's have no text."""
        known = [number for number in ids if number < self.vocabulary]
        return self.tokenizer.decode(known, skip_special_tokens=False)

    def names(self, ids: Sequence[int]) -> list[str]:
        """As the vocabulary spells them."""
        return [self.tokenizer.id_to_token(number) or "" for number in ids]

    def _encode(self, text: str, special: bool) -> Encoding:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise no_text() from None
        try:
            return self.tokenizer.encode_batch_fast([text], add_special_tokens=special)[0]
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of the regex engine is no Exception
            raise tokenizer_failed() from error
