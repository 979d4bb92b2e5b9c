"""Images, sound and video in a conversation: none of the families reads them, and their bytes are no text."""

from __future__ import annotations

import re
from typing import Any

import msgspec

# The types of content parts that carry no text (OpenAI's and vLLM's); some clients leave the type out, and the key that
# holds the data says it.
_MEDIA = frozenset(
    {"image_url", "input_image", "image_embeds", "input_audio", "audio_url", "audio_embeds", "video_url"}
    | {"video_embeds", "prompt_embeds", "file", "input_file"}
)
_parts = re.compile(rb'"content"\s*:\s*\[').search
_READ_WHOLE = 40 * 1024  # bytes of JSON up to which every part is looked for
_LOOKS = 32  # places at which larger ones are looked at
_LOOK = 48  # bytes that are base64 if they hold none of these:
_NOT_BASE64 = frozenset(b" \\\"'\t\n(){}[],.:;<>_-")


def find_media(messages: Any) -> tuple[str, str] | None:
    """Place (``messages[2].content[0]``) and type of the first part that is no text. ``messages``: their raw JSON.

    A small conversation without parts costs one search; with parts it is read. Large ones are read only if a sample of
    their bytes looks like base64: an image by reference among 40 KB of text is left to the model server to refuse.
    """
    view = memoryview(messages)
    if (_parts(view) is None) if len(view) <= _READ_WHOLE else (not _holds_base64(view)):
        return None
    try:
        return _first(msgspec.json.decode(view))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _holds_base64(view: memoryview) -> bool:
    step = len(view) // _LOOKS
    return any(_NOT_BASE64.isdisjoint(view[at : at + _LOOK]) for at in range(step // 2, len(view), step))


def _first(messages: Any) -> tuple[str, str] | None:
    if not isinstance(messages, list):
        return None
    for number, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        for place, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and (found := _media_type(part)) is not None:
                return f"messages[{number}].content[{place}]", found
    return None


def _media_type(part: dict[str, Any]) -> str | None:
    kind = part.get("type")
    if isinstance(kind, str):
        return kind if kind in _MEDIA else None
    return next((key for key in part if key in _MEDIA), None)
