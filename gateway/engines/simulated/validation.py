"""Request bodies that are no JSON, or don't fit their schema: how vLLM 0.32 answers them.

Such a body is a "Bad Request". It lists up to ten errors, with the place of each and a bounded piece of what was there.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from gateway.engines.simulated.errors import EngineError, invalid_body, unreadable_body

M = TypeVar("M", bound=BaseModel)

_MOST_ERRORS = 10
_LONGEST_INPUT = 200  # characters
_LONGEST_ERROR = 1_000
_BRANCHES = frozenset({"str", "int", "float", "bool", "list", "dict", "none", "nullable", "default", "union"})


def decode(body: bytes) -> Any:
    """The JSON value of ``body``. Raises the 400 of a body that is missing or no JSON."""
    if not body:
        raise _missing_body()
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(body)  # accepts a little more (NaN), and says where it failed
    except json.JSONDecodeError as error:
        place = f"body.{error.pos}"
        described = {"type": "json_invalid", "loc": place, "msg": "JSON decode error", "input": _shown({})}
        raise invalid_body([str({**described, "ctx": {"error": error.msg}})], place) from None
    except (ValueError, RecursionError):  # bytes that are no UTF-8, or brackets without end
        raise unreadable_body() from None


def read(model: type[M], data: Any) -> M:
    """``data`` as a request. Raises the "Bad Request" of a body that does not fit."""
    return read_one_of([model], data)


def read_one_of(models: list[type[M]], data: Any) -> M:
    """``data`` as the first of ``models`` that it fits. If it fits none, each of them says why."""
    if data is None:
        raise _missing_body()
    if not isinstance(data, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        described = {"type": "model_attributes_type", "loc": "body", "msg": message, "input": _shown(data)}
        raise invalid_body([str(described)], "body")
    errors: list[Any] = []
    for model in models:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            errors += error.errors(include_url=False)
    raise _refusal(errors)


def _missing_body() -> EngineError:
    described = {"type": "missing", "loc": "body", "msg": "Field required", "input": "None"}
    return invalid_body([str(described)], "body")


def _refusal(errors: list[Any]) -> EngineError:
    shown = [_described(error) for error in errors[:_MOST_ERRORS]]
    return invalid_body(shown, _place(errors[0]["loc"]), len(errors))


def _described(error: Any) -> str:
    described = {"type": error["type"], "loc": _place(error["loc"]), "msg": error["msg"]}
    described["input"] = _shown(error["input"])
    if "ctx" in error:
        described["ctx"] = error["ctx"]
    text = str(described)
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}...[truncated]"


def _place(location: tuple[int | str, ...]) -> str:
    """Without the parts that name a branch of a union, not a field."""
    return ".".join(["body", *(part for part in map(str, location) if not _is_branch(part))])


def _is_branch(part: str) -> bool:
    return part in _BRANCHES or any(bracket in part for bracket in "[](){}")


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return f"<{type(value).__name__} of {len(value)} items>"
    text = str(value)
    return text if len(text) <= _LONGEST_INPUT else f"{text[:_LONGEST_INPUT]}...[truncated]"
