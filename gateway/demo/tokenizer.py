"""Where `demo-bpe` is kept: one file in the cache folder, trained on first use."""

from __future__ import annotations

import sys
from hashlib import blake2b
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from gateway.config import cache_dir
from gateway.tokens.demo import NAME, VOCABULARY, special_tokens, train
from gateway.tokens.split import GLM4


def cached_tokenizer() -> Path:
    """The path of demo-bpe's tokenizer.json. Training takes about 10 s and shows its progress. Raises OSError.

    The name has in it what the tokens depend on: Python's version (its sources are the corpus), and the settings.
    """
    settings = blake2b(repr((VOCABULARY, GLM4, special_tokens())).encode(), digest_size=4).hexdigest()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    path = cache_dir() / f"{NAME}-{version}-{settings}.json"
    if not path.exists():
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(f"training the tokenizer {NAME} (once)", total=1.0)
            train(path, lambda share: progress.update(task, completed=share))
    return path
