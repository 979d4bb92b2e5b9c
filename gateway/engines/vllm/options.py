"""What a command line of vLLM and its environment say: the last word, whoever said it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config import environment
from gateway.engines.vllm.command import Launch


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of ``--name value`` or ``--name=value``: the last one, which wins."""
    for place in range(len(arguments) - 1, -1, -1):
        if arguments[place] == name and place + 1 < len(arguments):
            return arguments[place + 1]
        if arguments[place].startswith(f"{name}="):
            return arguments[place].partition("=")[2]
    return None


def has_any(arguments: Sequence[str], names: Sequence[str]) -> bool:
    return any(argument.partition("=")[0] in names for argument in arguments)


def server_environment(launch: Launch, name: str) -> str | None:
    """A variable as the server sees it; an empty one counts as missing."""
    return launch.environment.get(name) or environment(name)
