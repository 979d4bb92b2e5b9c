"""What a command line of vLLM and its environment say: the last word, whoever said it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.config import environment
from gateway.engines.vllm.command import Launch

_NUMBER = re.compile(r"(\d*\.?\d+)([kmgKMG]?)")
_FACTORS = {"": 1, "k": 1000, "m": 10**6, "g": 10**9, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def number(arguments: Sequence[str], name: str) -> float | None:
    """The option's value, with vLLM's suffixes (1k is 1,000, 1K is 1,024); None if it is missing or no number."""
    found = _NUMBER.fullmatch(option(arguments, name) or "")
    return float(found[1]) * _FACTORS[found[2]] if found else None


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of ``--name value`` or ``--name=value``: the last one, which wins."""
    for place in range(len(arguments) - 1, -1, -1):
        flag, equals, value = arguments[place].partition("=")
        if _spelled(flag) != name:
            continue
        if equals:
            return value
        if place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def has_any(arguments: Sequence[str], names: Sequence[str]) -> bool:
    return any(_spelled(argument.partition("=")[0]) in names for argument in arguments)


def _spelled(flag: str) -> str:
    """vLLM takes underscores for dashes."""
    return flag.replace("_", "-") if flag.startswith("--") else flag


def server_environment(launch: Launch, name: str) -> str | None:
    """A variable as the server sees it; an empty one counts as missing."""
    return launch.environment.get(name) or environment(name)
