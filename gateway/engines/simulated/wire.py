"""Request bodies: what is read from them, and how vLLM 0.32 answers bodies that it refuses.

Unknown fields are ignored, of a duplicated key the last one counts. A body that does not fit the
schema is a "Bad Request"; values that the sampler refuses are a "BadRequestError" (see ``sampling.py``).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.engines.simulated.errors import EngineError, invalid_body

TokenId = Annotated[int, Field(ge=0)]


class FieldError(ValueError):
    """A refusal by a rule over several fields; ``parameter`` is the error body's ``param``."""

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore")


class StreamOptions(Wire):
    include_usage: bool | None = True
    continuous_usage_stats: bool | None = False


class ToolFunction(Wire):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Wire):
    type: Literal["function"] = "function"
    function: ToolFunction


class Generation(Wire):
    """What chat and text completions share."""

    model: str | None = None
    n: int | None = 1
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_format: dict[str, Any] | None = None
    request_id: str | None = None
    priority: int = 0
    cache_salt: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    return_token_ids: bool | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None

    @property
    def choices(self) -> int:
        return 1 if self.n is None else self.n

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def continuous_usage(self) -> bool:
        options = self.stream_options
        return options is not None and bool(options.include_usage and options.continuous_usage_stats)

    @property
    def stop_strings(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @model_validator(mode="before")
    @classmethod
    def _rules(cls, data: Any) -> Any:
        if isinstance(data, dict):
            if data.get("stream_options") and not data.get("stream"):
                raise FieldError("Stream options can only be defined when `stream=True`.", "stream_options")
            form = data.get("response_format")
            if isinstance(form, dict) and form.get("type") == "json_schema" and form.get("json_schema") is None:
                message = "When response_format type is 'json_schema', the 'json_schema' field must be provided."
                raise FieldError(message, "response_format")
        return data


class ChatRequest(Generation):
    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = 0
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    echo: bool = False
    add_special_tokens: bool = False

    @property
    def output_limit(self) -> tuple[str, int | None]:
        """The parameter that limits the output, and its value."""
        if self.max_completion_tokens is not None:
            return "max_completion_tokens", self.max_completion_tokens
        return "max_tokens", self.max_tokens

    @property
    def named_tool(self) -> str | None:
        return self.tool_choice["function"]["name"] if isinstance(self.tool_choice, dict) else None

    @model_validator(mode="before")
    @classmethod
    def _chat_rules(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        top = data.get("top_logprobs")
        if isinstance(top, int) and (top == -1 or top > 0) and not data.get("logprobs"):
            raise FieldError("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
        if isinstance(top, int) and top < -1:
            raise FieldError("`top_logprobs` must be a positive value or -1.", "top_logprobs")
        return _with_tool_choice(data)


class CompletionRequest(Generation):
    prompt: list[TokenId] | list[list[TokenId]] | str | list[str] | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None
    echo: bool | None = False
    add_special_tokens: bool = True

    @property
    def output_limit(self) -> tuple[str, int | None]:
        return "max_tokens", 16 if self.max_tokens is None else self.max_tokens

    @model_validator(mode="before")
    @classmethod
    def _completion_rules(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("prompt") in (None, ""):
            raise FieldError("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
        return data


class TokenizeCompletionRequest(Wire):
    model: str | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool | None = False


class TokenizeChatRequest(Wire):
    model: str | None = None
    messages: list[dict[str, Any]]
    add_special_tokens: bool = False
    return_token_strs: bool | None = False


class DetokenizeRequest(Wire):
    model: str | None = None
    tokens: list[TokenId]


def _with_tool_choice(data: dict[str, Any]) -> dict[str, Any]:
    """Tools without a choice mean ``auto``; a choice must fit the tools."""
    tools, choice = data.get("tools"), data.get("tool_choice")
    if tools == []:
        message = "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        raise FieldError(message, "tools")
    if "tool_choice" not in data:
        return {**data, "tool_choice": "auto"} if tools else data
    if choice is None or choice == "none":
        return data
    if tools is None:
        raise FieldError("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice not in ("auto", "required") and not isinstance(choice, dict):
        message = f"Invalid value for `tool_choice`: {choice}! Only named tools, "
        raise FieldError(message + '"none", "auto" or "required" are supported.', "tool_choice")
    if isinstance(choice, dict):
        _check_named_tool(choice, tools)
    return data


def _check_named_tool(choice: dict[str, Any], tools: Any) -> None:
    usage = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'
    function = choice.get("function")
    if not isinstance(function, dict):
        message = f"Invalid value for `function`: `{function}` in `tool_choice`! {usage}"
        raise FieldError(message, "tool_choice.function")
    if "name" not in function:
        message = f"Expected field `name` in `function` in `tool_choice`! {usage}"
        raise FieldError(message, "tool_choice.function.name")
    names = [tool["function"].get("name") for tool in tools if isinstance(tool, dict) and "function" in tool]
    if function["name"] not in names:
        message = "The tool specified in `tool_choice` does not match any of the specified `tools`"
        raise FieldError(message, "tool_choice")


M = TypeVar("M", bound=BaseModel)


def decode(body: bytes) -> Any:
    """The JSON value of ``body``. Raises the 400 of a body that is missing or no JSON."""
    if not body:
        raise invalid_body([{"type": "missing", "loc": "body", "msg": "Field required", "input": None}], "body")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return json.loads(body)  # accepts a little more (NaN), and says where it failed
    except ValueError as error:
        place = f"body.{getattr(error, 'pos', 0)}"
        cause = {"error": getattr(error, "msg", str(error))}
        described = {"type": "json_invalid", "loc": place, "msg": "JSON decode error", "input": {}, "ctx": cause}
        raise invalid_body([described], place) from None


def read(model: type[M], data: Any, prefix: str = "body") -> M:
    """``data`` as a request. Raises the "Bad Request" of a body that does not fit."""
    if not isinstance(data, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        described = {"type": "model_attributes_type", "loc": "body", "msg": message, "input": _shown(data)}
        raise invalid_body([described], "body")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _refusal(error, prefix) from None


def read_tokenize(data: Any) -> TokenizeChatRequest | TokenizeCompletionRequest:
    if isinstance(data, dict) and "messages" in data:
        return read(TokenizeChatRequest, data)
    if isinstance(data, dict) and "prompt" not in data:
        fields = ("TokenizeCompletionRequest.prompt", "TokenizeChatRequest.messages")
        errors = [
            {"type": "missing", "loc": f"body.{field}", "msg": "Field required", "input": _shown(data)}
            for field in fields
        ]
        raise invalid_body(errors, f"body.{fields[0]}")
    return read(TokenizeCompletionRequest, data)


def _refusal(error: ValidationError, prefix: str) -> EngineError:
    errors: list[Any] = []
    param: str | None = None
    for item in error.errors(include_url=False):
        place = ".".join([prefix, *map(str, item["loc"])])
        described = {"type": item["type"], "loc": place, "msg": item["msg"], "input": _shown(item["input"])}
        errors.append(described)
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, FieldError):
            param = param or cause.parameter
        named = [prefix, *(str(part) for part in item["loc"] if not _is_internal(str(part)))]
        param = param or ".".join(named)
    return invalid_body(errors, param)


def _is_internal(part: str) -> bool:
    """Parts of an error's place that name a branch of a union, not a field."""
    return part in ("str", "int", "float", "bool", "nullable") or any(bracket in part for bracket in "[](){}")


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return f"<dict of {len(value)} items>"
    if isinstance(value, list):
        return f"<list of {len(value)} items>"
    return value
