"""Random weights in bfloat16, and the safetensors file that holds them: no array library is needed for either."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

NUMBER_BYTES = 2
_ZERO, _ONE, _FORBIDDING = b"\x00\x00", b"\x80\x3f", b"\x7a\xc4"  # 0, 1 and -1000 as little-endian bfloat16


class Tensor(NamedTuple):
    """``data``: bfloat16, little-endian, the last dimension closest together."""

    shape: tuple[int, ...]
    data: bytes


def random(seed: str, *shape: int, large: bool = False) -> Tensor:
    """The same for the same seed. Both signs; magnitudes from 1/32 to 1/8, with ``large`` from 1/8 to 1/2.

    A bfloat16 is a sign, eight bits of exponent and seven of fraction. The lower byte is drawn whole: it holds the
    fraction and the exponent's last bit. Of the upper one only the sign is drawn.
    """
    count = _product(shape)
    drawn = Random(seed).randbytes(2 * count)
    upper = 0x3E if large else 0x3D
    data = bytearray(2 * count)
    data[0::2] = drawn[:count]
    data[1::2] = drawn[count:].translate(bytes(upper | (byte & 0x80) for byte in range(256)))
    return Tensor(shape, bytes(data))


def without_first_row(tensor: Tensor) -> Tensor:
    """Zeros in the first row: what is multiplied by it has nothing to say about the first dimension."""
    row = NUMBER_BYTES * tensor.shape[-1]
    return Tensor(tensor.shape, bytes(row) + tensor.data[row:])


def norm(size: int, *, first: bool) -> Tensor:
    """Ones; ``first`` is False for a norm that hides the first dimension."""
    return Tensor((size,), (_ONE if first else _ZERO) + _ONE * (size - 1))


def embedding(seed: str, rows: int, columns: int) -> Tensor:
    """Random, and 1 in the first dimension of every token."""
    return _with_first_column(random(seed, rows, columns), _ONE)


def output(seed: str, rows: int, columns: int, *, allowed: frozenset[int]) -> Tensor:
    """Random for the tokens that may be written. All others are far below, by what every token has in common."""
    found = bytearray(_with_first_column(random(seed, rows, columns, large=True), _ZERO).data)
    width = NUMBER_BYTES * columns
    forbidden = _FORBIDDING + bytes(width - NUMBER_BYTES)
    at = 0
    for token in [*sorted(allowed), rows]:
        found[at * width : token * width] = forbidden * (token - at)
        at = token + 1
    return Tensor((rows, columns), bytes(found))


def write(tensors: Mapping[str, Tensor], path: Path) -> None:
    """As safetensors: the header's length in 8 bytes, the header (JSON: type, shape and place of each tensor), data."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + len(tensor.data)
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": (start, end)}
    described = json.dumps(header).encode()
    described += b" " * (-len(described) % 8)
    with path.open("wb") as file:
        file.write(len(described).to_bytes(8, "little") + described)
        for tensor in tensors.values():
            file.write(tensor.data)


def _with_first_column(tensor: Tensor, number: bytes) -> Tensor:
    rows, columns = tensor.shape
    data = bytearray(tensor.data)
    for byte in range(NUMBER_BYTES):
        data[byte :: NUMBER_BYTES * columns] = number[byte : byte + 1] * rows
    return Tensor(tensor.shape, bytes(data))


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
