"""Clients' API keys: a static file of their hashes, and the lookup that every request makes.

The file has one ``name:sha256:hex`` a line; empty lines and lines that begin with ``#`` are skipped. Keys are random
(160 bits and more), so that a plain SHA-256 cannot be searched, and costs well under a microsecond a request.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

_LINE = re.compile(r"(?P<name>[^:\s]+):sha256:(?P<hex>[0-9a-fA-F]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_PREFIX = "sk-ys-"


class KeyFileError(ValueError):
    """A key file that cannot be used. ``line`` counts from 1; None where the whole file is meant. Quotes no content."""

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}")
        self.path = path
        self.line = line
        self.message = message


class Keys:
    """Names of clients by the digest of their key. Holds digests only, and shows none of them."""

    __slots__ = ("_names",)

    def __init__(self, names: Mapping[bytes, str]) -> None:
        self._names = dict(names)

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Read a key file. Raises KeyFileError, with the line, for anything that is not ``name:sha256:hex``."""
        names = read_key_file(path)
        if not names:
            raise KeyFileError(path, None, f"holds no key; `yardstick keys new NAME --file {path}` adds one")
        return cls(names)

    def name_of(self, authorization: bytes | None) -> str | None:
        """The client's name for an Authorization header's value, ``Bearer KEY``; None if that is no known key.

        Only digests are compared, so that the time taken says nothing about a key that is nearly right.
        """
        if authorization is None or authorization[:7].lower() != b"bearer ":
            return None
        return self._names.get(sha256(authorization[7:].strip()).digest())

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{len(self._names)} keys>"


def read_key_file(path: Path) -> dict[bytes, str]:
    """Names by digest; empty for a file without keys. Raises KeyFileError."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise KeyFileError(path, None, f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise KeyFileError(path, None, "is not UTF-8 text") from None
    names: dict[bytes, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, digest = _parse(path, number, line.strip())
        if digest in names:
            raise KeyFileError(path, number, f"the key of {name!r} is already there, as {names[digest]!r}: drop one")
        if name in names.values():
            raise KeyFileError(path, number, f"the name {name!r} is used twice: give each key its own name")
        names[digest] = name
    return names


def _parse(path: Path, number: int, line: str) -> tuple[str, bytes]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise KeyFileError(
            path,
            number,
            "expected name:sha256:hex (64 hex digits). If the line holds a key in plain text, replace it with"
            " what `yardstick keys hash NAME` prints for that key",
        )
    if not is_name(match["name"]):
        raise KeyFileError(path, number, "a name has letters, digits and . _ @ - only, and at most 64 of them")
    return match["name"], bytes.fromhex(match["hex"])


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def new_key() -> str:
    """A random key of 192 bits."""
    return _PREFIX + secrets.token_urlsafe(24)


def key_line(name: str, key: str) -> str:
    """The line of a key file that lets ``key`` in as ``name``."""
    return f"{name}:sha256:{sha256(key.encode()).hexdigest()}"
