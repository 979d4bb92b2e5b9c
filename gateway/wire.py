"""OpenAI's wire types, as far as the gateway describes them. Unknown fields pass through to the model server.

These document the API (OpenAPI, from pydantic) and are what the small routes answer with. The model routes do not
decode bodies into them: see `gateway.body`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Wire(BaseModel):
    model_config = ConfigDict(extra="allow")


class Message(Wire):
    role: str = Field(examples=["user"])
    content: str | list[dict[str, Any]] | None = Field(None, examples=["Write a function that reverses a string."])


class StreamOptions(Wire):
    include_usage: bool | None = None


ModelName = Annotated[
    str, Field(description="`auto` routes by prompt length; or a name of GET /v1/models", examples=["auto"])
]
MaxTokens = Annotated[int, Field(ge=0, le=10_000_000)]


class ChatCompletionRequest(Wire):
    """POST /v1/chat/completions. All other fields of OpenAI and vLLM are accepted and passed on."""

    model: ModelName
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: MaxTokens | None = None
    max_tokens: MaxTokens | None = None


class ReferenceFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="one line")
    content: str


class CompletionRequest(Wire):
    """POST /v1/completions. Token ids need a named model: they belong to one vocabulary.

    With a ``suffix`` the answer is what belongs between it and ``prompt``, which must then be one text.
    """

    model: ModelName
    prompt: str | list[str] | list[int] | list[list[int]] = Field(examples=["def fibonacci(n):"])
    suffix: str | None = Field(None, description="the code behind the gap: fill in the middle")
    path: str | None = Field(None, description="with a suffix: the file that is edited, one line", examples=["fib.py"])
    language: str | None = Field(None, description="with a suffix: the file's language, one line", examples=["Python"])
    mode: Literal["line", "block"] | None = Field(
        None, description="with a suffix: how much is wanted, for models that are told (CodeGeeX4); default: block"
    )
    reference_files: list[ReferenceFile] | None = Field(None, description="with a suffix: other files that help")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens | None = None


class Usage(Wire):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int | None = None


class ChatCompletion(Wire):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: Usage | None = None


class Completion(Wire):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: Usage | None = None


class ErrorDetail(Wire):
    message: str
    type: str
    param: str | None
    code: str | int | None


class ErrorBody(Wire):
    """The shape of every error of every route."""

    error: ErrorDetail


class ModelCard(Wire):
    """``max_model_len``: tokens of prompt and output that are routed to it. ``up``: whether an endpoint answers."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    max_model_len: int
    up: bool
    alias_of: str | None = None


class ModelList(Wire):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class Routed(Wire):
    """A decision: what would answer this request and why. ``counted``: how ``prompt_tokens`` was found (an upper
    bound, an estimate, a count; `unsplittable`: it could not be counted in pieces)."""

    model: str
    reason: str
    prompt_tokens: int
    counted: str
    output_tokens: int
    threshold: int
    window: int
    endpoints_up: list[str]


class TokenizeRequest(Wire):
    """A ``prompt``, or ``messages`` to be put through the model's chat template. `auto` means the short model."""

    model: ModelName
    prompt: str | None = None
    messages: list[Message] | None = None


class TokenizeAnswer(Wire):
    """``estimated``: nothing could count it to its end."""

    count: int
    max_model_len: int
    model: str
    estimated: bool = False


class Health(Wire):
    status: str
