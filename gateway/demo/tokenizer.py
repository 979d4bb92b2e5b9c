"""The demo's tokenizer, with the progress of its training shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from gateway.tokens import demo


def cached_tokenizer() -> Path:
    """The path of demo-bpe's tokenizer.json. Training takes about 10 s and shows its progress. Raises OSError."""
    return demo.cached(_shown)


@contextmanager
def _shown() -> Iterator[demo.Progress]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"training the tokenizer {demo.NAME} (once)", total=1.0)
        yield lambda share: progress.update(task, completed=share)
