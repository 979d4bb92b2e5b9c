"""Which prompts begin alike: they should meet the endpoint that has their beginning in its prefix cache.

A conversation is known by its beginning up to the end of the first user turn, which later turns repeat; a completion
by its first bytes. It is a guess from bytes: where it is wrong, only a cache hit is lost.
"""

from __future__ import annotations

import re
import zlib

from gateway.request import Request, Route

_LEAST = 1024  # bytes of a prompt that are worth finding again: some 16 blocks of a prefix cache
_LOOKED_AT = 64 * 1024  # bytes in which the first user turn is looked for
_ENDS = 2048  # of the beginning, this much from its start and its end makes the difference
_user = re.compile(rb'"role"\s*:\s*"user"').search
_role = re.compile(rb'"role"\s*:').search
_role_first = re.compile(rb'\s*\[\s*\{\s*"role"').match
_CLOSING = b' \t\r\n,[]{}"'


def affinity_of(request: Request) -> int | None:
    """A number equal for prompts that begin alike, in every process; None where the prompt is too short to matter.

    OpenAI's ``prompt_cache_key`` takes the prompt's place where the client sends one.
    """
    body = request.body
    if "prompt_cache_key" in body.raws and isinstance(key := body.get("prompt_cache_key"), str) and key:
        return zlib.crc32(key.encode("utf-8", "replace"))
    name = request.route.prompt_field
    if body.size(name) < _LEAST:
        return None
    prompt = bytes(memoryview(body.raws[name])[:_LOOKED_AT])
    return _digest(_first_turns(prompt) if request.route is Route.CHAT else prompt[:_LEAST])


def _first_turns(messages: bytes) -> bytes:
    """Up to the end of the first user turn; what follows it, and the closing brackets, differ from turn to turn."""
    user = _user(messages)
    if user is None:
        return messages[:_LEAST]
    if _role_first(messages) is None:  # the content stands before its role
        return messages[: user.end()]
    following = _role(messages, user.end())
    return (messages if following is None else messages[: following.start()]).rstrip(_CLOSING)


def _digest(beginning: bytes) -> int:
    if len(beginning) <= 2 * _ENDS:
        return zlib.crc32(beginning)
    return zlib.crc32(beginning[-_ENDS:], zlib.crc32(beginning[:_ENDS]))
