"""Fill in the middle: a completion request with a ``suffix`` becomes a prompt in the form that a model's family wants.

vLLM (0.32) refuses ``suffix`` for these models. Here the request's ``prompt`` is the code before the gap and ``suffix``
the code after it (an empty one too: a gap at the end of a file is still a gap; null is none). ``path``, ``language``,
``mode`` and ``reference_files`` may say more, and mean something only beside a suffix. Only the middle comes back: what
would show the frame is refused, and the family's special tokens end the answer, by their ids or, where those are not
known, by their texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.body import Body
from gateway.errors import ApiError, bad_request
from gateway.families import MODELS, FimFormat, Infill, Model, Reference

_OURS = ("suffix", "path", "language", "mode", "reference_files")
_MODES = ("line", "block")
_FILE = "a list of objects with 'path' and 'content', both of them texts"
# What would show the frame, or leave it damaged. `min_tokens` would have stops ignored until then.
_REFUSED = {
    "echo": "it would return the prompt, which is not the one you sent",
    "prompt_embeds": "there is no text to put the suffix around",
    "prompt_logprobs": "they would be those of the prompt that the model gets, which is not the one you sent",
    "return_token_ids": "they would be those of the prompt that the model gets, which is not the one you sent",
    "truncate_prompt_tokens": "it would cut off marks that the model needs: shorten 'prompt' and 'suffix' instead",
    "include_stop_str_in_output": "the answer would end in marks that are not code",
    "use_beam_search": "it heeds no stops, and would go on past the middle",
    "min_tokens": "the model could not end the middle where it does end",
}

# The client's are joined to the family's.
_STOPS: dict[str, tuple[type, ...]] = {
    "stop": (str, list, type(None)),
    "stop_token_ids": (list, type(None)),
    "bad_words": (list, type(None)),
}


def read_infill(body: Body) -> Infill | None:
    """What a completion request wants filled in; None if its ``suffix`` is null. Raises a 400 naming the field."""
    suffix = body.get("suffix")
    if suffix is None:
        return None
    if not isinstance(suffix, str):
        raise _wrong_type("suffix", "a text or null")
    prefix = body.get("prompt")
    if not isinstance(prefix, str):
        raise bad_request("With a 'suffix', 'prompt' must be one text: the code before the gap.", param="prompt")
    for name, reason in _REFUSED.items():
        value = body.get(name)
        if value is not None and value is not False and (name, value) != ("min_tokens", 0):
            raise bad_request(f"{name!r} does not go with a 'suffix': {reason}.", param=name)
    for name, types in _STOPS.items():
        if not isinstance(body.get(name), types):
            raise _wrong_type(name, "a list" if str not in types else "a text or a list of texts")
    mode = _line(body, "mode") or "block"
    if mode not in _MODES:
        raise bad_request(f"'mode' must be one of {', '.join(_MODES)}.", param="mode")
    return Infill(
        prefix=prefix,
        suffix=suffix,
        path=_line(body, "path"),
        language=_line(body, "language"),
        mode="line" if mode == "line" else "block",
        references=_references(body),
    )


def refuse_suffix(body: Body) -> None:
    """For chats, where there is no gap to fill."""
    if body.get("suffix") is not None:
        raise bad_request("'suffix' goes with a 'prompt': POST it to /v1/completions.", param="suffix")


def _line(body: Body, name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong_type(name, "a text")
    return _one_line(name, value)


def _one_line(name: str, value: str) -> str:
    """It has a line of the frame to itself, and what followed a line break would be read as the next one."""
    if value.splitlines() not in ([], [value]):
        raise bad_request(f"{name!r} must be one line.", param=name)
    return value


def _references(body: Body) -> tuple[Reference, ...]:
    value = body.get("reference_files")
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _wrong_type("reference_files", _FILE)
    for number, file in enumerate(value):
        place = f"reference_files[{number}]"
        if not isinstance(file, dict) or file.keys() != {"path", "content"}:
            raise bad_request(f"{place!r}: 'reference_files' must be {_FILE}.", param=place, code="invalid_type")
        for name in ("path", "content"):
            if not isinstance(file[name], str):
                raise _wrong_type(f"{place}.{name}", "a text")
        _one_line(f"{place}.path", file["path"])
    return tuple(Reference(file["path"], file["content"]) for file in value)


def _wrong_type(name: str, wanted: str) -> ApiError:
    return bad_request(f"{name!r} must be {wanted}.", param=name, code="invalid_type")


# -- for one model ------------------------------------------------------------------------------------------------


def size_bound(infill: Infill) -> int:
    """The UTF-8 bytes of the longest prompt that any family makes of it."""
    formats = {model.fim for model in MODELS.values() if model.fim is not None}
    return max(len(fim.frame(infill).encode()) for fim in formats)


def check_markers(infill: Infill, model: Model) -> None:
    """Raises a 400 if the client's code has the text of a mark in it, which the tokenizer would take for the mark.

    No escape would reach the model as the same text, and a frame in the wrong place gives an answer that is wrong in
    ways that nobody sees.
    """
    parts = [("prompt", infill.prefix), ("suffix", infill.suffix), ("path", infill.path), ("language", infill.language)]
    for number, (path, content) in enumerate(infill.references):
        parts += [(f"reference_files[{number}].path", path), (f"reference_files[{number}].content", content)]
    for name, text in parts:
        for marker in _format(model).markers:
            if marker in text:
                raise bad_request(
                    f"{name!r} contains {marker}, which {model.name} would take for a mark of its own and not for "
                    "code. Leave that part out, or split the text where it stands.",
                    param=name,
                    code="marker_in_code",
                )


def counted_fields(infill: Infill, model: Model) -> dict[str, bytes]:
    """The fields, as JSON, of which the model's prompt can be counted."""
    fim = _format(model)
    return {"prompt": msgspec.json.encode(fim.frame(infill)), **_encoded(fim.fields)}


_MOST_STOPS = 4  # OpenAI's limit, and vLLM's (VLLM_MAX_STOP_STRINGS)


def translate(body: Body, infill: Infill, model: Model, defaults: Sequence[tuple[str, bytes]]) -> frozenset[str]:
    """Makes the body one for the model; returns the names of the fields that it has set.

    ``defaults`` are the pool's, as JSON members: its stops are kept beside the client's and the family's.
    """
    fim = _format(model)
    given = {name: msgspec.json.decode(b"{%b}" % member)[name] for name, member in defaults if name in _STOPS}
    given.update((name, body.get(name)) for name in _STOPS if name in body.raws)
    fields: dict[str, Any] = {
        "prompt": fim.frame(infill),
        "stop_token_ids": _joined(given.get("stop_token_ids"), fim.stop_token_ids),
        # A special token whose id is not known is stopped at by its text, so it must have one.
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        **fim.fields,
    }
    stops = _joined(given.get("stop"), ())
    room = max(0, _MOST_STOPS - len(stops))
    if stops or fim.stops:
        fields["stop"] = [*stops, *fim.stops[:room]]
    if fim.stops[room:]:  # what finds no place there is not written at all
        fields["bad_words"] = _joined(given.get("bad_words"), fim.stops[room:])
    for name in _OURS:
        body.remove(name)
    for name, value in _encoded(fields).items():
        body.set(name, value)
    return frozenset(fields)


def _joined(given: Any, ours: Sequence[Any]) -> list[Any]:
    given = [given] if isinstance(given, str) else given or []
    return [*given, *(each for each in ours if each not in given)]


def _format(model: Model) -> FimFormat:
    assert model.fim is not None, f"{model.name} should not have been chosen"
    return model.fim


def _encoded(fields: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: msgspec.json.encode(value) for name, value in fields.items()}
