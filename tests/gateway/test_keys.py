from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keys import KeyFileError, Keys, key_line, new_key


def write(folder: Path, *lines: str) -> Path:
    path = folder / "keys"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_key_is_known_by_its_hash(tmp_path: Path) -> None:
    alice, bob = new_key(), new_key()
    keys = Keys.load(write(tmp_path, "# clients", "", key_line("alice", alice), "  " + key_line("bob", bob) + "  "))
    assert len(keys) == 2
    assert keys.name_of(b"Bearer " + alice.encode()) == "alice"
    assert keys.name_of(b"bearer  " + bob.encode()) == "bob"


@pytest.mark.parametrize(
    "header", [None, b"", b"Bearer", b"Bearer ", b"Basic abc", b"Bearer sk-ys-unknown", b"\xff\x00"]
)
def test_anything_else_is_no_key(tmp_path: Path, header: bytes | None) -> None:
    assert Keys.load(write(tmp_path, key_line("alice", new_key()))).name_of(header) is None


@given(st.binary(max_size=200))
def test_no_header_value_raises(header: bytes) -> None:
    assert Keys({sha256(b"other").digest(): "a"}).name_of(header) in (None, "a")


def test_the_hash_itself_lets_nobody_in(tmp_path: Path) -> None:
    line = key_line("alice", new_key())
    keys = Keys.load(write(tmp_path, line))
    assert keys.name_of(b"Bearer " + line.rpartition(":")[2].encode()) is None


def test_upper_case_digits_are_the_same_hash(tmp_path: Path) -> None:
    key = new_key()
    name, kind, digits = key_line("alice", key).split(":")
    assert Keys.load(write(tmp_path, f"{name}:{kind}:{digits.upper()}")).name_of(f"Bearer {key}".encode()) == "alice"


def test_neither_repr_nor_errors_show_a_key(tmp_path: Path) -> None:
    key = new_key()
    line = key_line("alice", key)
    keys = Keys.load(write(tmp_path, line))
    assert repr(keys) == str(keys) == "<1 keys>"
    with pytest.raises(KeyFileError) as caught:
        Keys.load(write(tmp_path, line, key))
    assert key not in str(caught.value)
    assert "yardstick keys hash NAME" in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'keys'}:2: ")


@pytest.mark.parametrize(
    ("lines", "line", "says"),
    [
        (["alice:sk-ys-plain"], 1, "plain text"),
        (["alice:sha256:abc"], 1, "64 hex digits"),
        (["# ok", "-alice:sha256:" + "0" * 64], 2, "letters, digits"),
        (["a:sha256:" + "0" * 64, "a:sha256:" + "1" * 64], 2, "used twice"),
        (["a:sha256:" + "0" * 64, "b:sha256:" + "0" * 64], 2, "already there, as 'a'"),
        (["# nothing"], None, "holds no key"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, lines: list[str], line: int | None, says: str) -> None:
    with pytest.raises(KeyFileError, match=says) as caught:
        Keys.load(write(tmp_path, *lines))
    assert caught.value.line == line


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        Keys.load(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(KeyFileError, match="UTF-8"):
        Keys.load(tmp_path / "binary")


def test_new_keys_differ_and_say_whose_they_are() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(key.startswith("sk-ys-") and len(key) >= 32 for key in made)
