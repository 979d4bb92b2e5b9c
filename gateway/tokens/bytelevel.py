"""Byte-level vocabularies: the printable stand-in of each byte, and back."""

from __future__ import annotations

from collections.abc import Mapping


def _stand_ins() -> dict[int, str]:
    """GPT-2's convention: printable Latin-1 stands for itself, the rest for code points from 256 on."""
    table: dict[int, str] = {}
    free = 256
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(free)
            free += 1
    return table


BYTE_TO_CHAR = _stand_ins()
_TO_LATIN = str.maketrans({char: chr(byte) for byte, char in BYTE_TO_CHAR.items()})


def to_bytes(token: str) -> bytes:
    """Raises UnicodeEncodeError if the token is not of a byte-level vocabulary."""
    return token.translate(_TO_LATIN).encode("latin-1")


def to_token(data: bytes) -> str:
    return "".join(BYTE_TO_CHAR[byte] for byte in data)


def ranks_of(vocabulary: Mapping[str, int]) -> dict[bytes, int] | None:
    """The vocabulary over bytes, or None if it is not byte-level (all 256 bytes there, no two tokens alike)."""
    try:
        ranks = {to_bytes(token): rank for token, rank in vocabulary.items()}
    except UnicodeEncodeError:
        return None
    complete = len(ranks) == len(vocabulary) and all(bytes((byte,)) in ranks for byte in range(256))
    return ranks if complete else None
