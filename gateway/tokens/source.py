"""Where a pool's tokenizer comes from: a file, or the hub."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from gateway.tokens.counter import Counter


def load_counter(source: str) -> Counter:
    """``source``: the path of a tokenizer.json (also gzipped), or a hub id such as ``org/name``, which is downloaded.

    Raises ValueError saying what is wrong. Takes 1 to 2 s for a large vocabulary.
    """
    path = Path(source).expanduser()
    if (
        path.exists()
        or source.endswith((".json", ".json.gz"))
        or source.count("/") != 1
        or source.startswith((".", "/"))
    ):
        try:
            return Counter.load(path)
        except OSError as error:
            raise ValueError(f"tokenizer {source}: {error.strerror or error}") from None
        except ValueError as error:
            raise ValueError(f"tokenizer {source}: {error}") from None
    try:
        return Counter(Tokenizer.from_pretrained(source).to_str().encode())
    except Exception as error:  # the hub client raises its own kinds, and plain Exception
        raise ValueError(f"tokenizer {source}: no such file, and the hub says: {error}") from None
