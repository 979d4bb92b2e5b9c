"""`demo-bpe`: a byte-level BPE trained here, on the Python standard library's own sources.

For demonstrations and tests where no real tokenizer is at hand. It splits words as GLM-4 does and knows the special
tokens of both families; its counts are its own, not those of any real model.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from gateway.config import cache_dir
from gateway.families import MODELS
from gateway.tokens import split
from gateway.tokens.bytelevel import BYTE_TO_CHAR

NAME = "demo-bpe"
VOCABULARY = 16_384
_CORPUS_BYTES = 10_000_000
_READ_BYTES = 64 * 1024

Progress = Callable[[float], None]
"""Called with the share of the corpus that has been read, 0 to 1."""


def train(out: Path, progress: Progress | None = None, *, corpus_bytes: int = _CORPUS_BYTES) -> Path:
    """Trains and saves ``out`` (a tokenizer.json), whole or not at all. Takes about 10 s; raises OSError.

    The same sources give the same file.
    """
    tokenizer = Tokenizer(models.BPE())
    steps = [
        pre_tokenizers.Split(Regex(split.GLM4), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        show_progress=False,
        initial_alphabet=sorted(BYTE_TO_CHAR.values()),
        max_token_length=64,
    )
    tokenizer.train_from_iterator(_corpus(corpus_bytes, progress), trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special_tokens()])
    _save(tokenizer.to_str(), out)
    return out


def cached(training: Callable[[], AbstractContextManager[Progress | None]] = nullcontext) -> Path:
    """The path of demo-bpe's tokenizer.json in the cache folder, trained if it is not there. Raises OSError.

    ``training``: entered around a training, gives what its progress is told. The file's name has in it what the tokens
    depend on: Python's version (its sources are the corpus), and the settings.
    """
    settings = blake2b(repr((VOCABULARY, split.GLM4, special_tokens())).encode(), digest_size=4).hexdigest()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    path = cache_dir() / f"{NAME}-{version}-{settings}.json"
    if not path.exists():
        with training() as progress:
            train(path, progress)
    return path


def special_tokens() -> list[str]:
    """Those of every family, each once."""
    return list(dict.fromkeys(text for model in MODELS.values() for text in model.special_tokens))


def _corpus(limit: int, progress: Progress | None) -> Iterator[str]:
    """Sources in order of their paths, tests and installed packages left out."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    left = limit
    for path in sorted(folder.rglob("*.py")):
        if left <= 0:
            break
        if {"test", "tests", "site-packages", "idle_test", "dist-packages"}.isdisjoint(path.relative_to(folder).parts):
            text = path.read_text("utf-8", errors="replace")
            for at in range(0, min(len(text), left), _READ_BYTES):
                yield text[at : at + _READ_BYTES]
            left -= len(text)
            if progress is not None:
                progress(min(1.0, 1 - left / limit))


def _save(text: str, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=out.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
