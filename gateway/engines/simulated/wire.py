"""Request bodies: what is read from them. Unknown fields are ignored, of a duplicated key the last one counts.

Values that fit here and that the sampler refuses nevertheless are in ``sampling.py``; rules over several fields,
which come before the fields themselves are looked at, in ``rules.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.engines.simulated import rules
from gateway.engines.simulated.validation import read_one_of

TokenId = Annotated[int, Field(ge=0)]
Number64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Stop = str | Annotated[list[str], Field(max_length=4)] | None


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore")


class StreamOptions(Wire):
    include_usage: bool | None = True
    continuous_usage_stats: bool | None = False


class ResponseFormat(Wire):
    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: dict[str, Any] | None = None


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
    user: str | None = None
    seed: Number64 | None = None
    stop: Stop = None
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool = False
    bad_words: list[str] = Field(default_factory=list)
    allowed_token_ids: list[int] | None = None
    logit_bias: dict[str, float] | None = None
    skip_special_tokens: bool = True
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
    repetition_penalty: float | None = None
    prompt_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    request_id: str | None = None
    priority: Number64 = 0
    cache_salt: str | None = None
    return_token_ids: bool | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=2**63 - 1)] | None = None

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
            rules.check_generation(data)
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
    chat_template: str | None = None

    @property
    def output_limit(self) -> tuple[str, int | None]:
        """The parameter that limits the output, and its value."""
        if self.max_completion_tokens is not None:
            return "max_completion_tokens", self.max_completion_tokens
        return "max_tokens", self.max_tokens

    @property
    def named_tool(self) -> str | None:
        return self.tool_choice["function"]["name"] if isinstance(self.tool_choice, dict) else None

    @property
    def prompt_top(self) -> int | None:
        """How many alternatives are asked for at each token of the prompt; None: nothing is asked there."""
        return self.top_logprobs if self.prompt_logprobs is None and self.echo else self.prompt_logprobs

    @field_validator("messages")
    @classmethod
    def _messages_fit(cls, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return rules.checked_messages(messages)

    @model_validator(mode="before")
    @classmethod
    def _chat_rules(cls, data: Any) -> Any:
        return rules.with_tool_choice(rules.checked_chat_logprobs(data)) if isinstance(data, dict) else data


class CompletionRequest(Generation):
    prompt: list[TokenId] | list[list[TokenId]] | str | list[str] | None = None
    n: int = 1
    suffix: str | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None
    echo: bool | None = False
    add_special_tokens: bool = True

    @property
    def output_limit(self) -> tuple[str, int | None]:
        return "max_tokens", 16 if self.max_tokens is None else self.max_tokens

    @property
    def only_echo(self) -> bool:
        """One token is generated nevertheless, and not shown."""
        return bool(self.echo) and self.max_tokens == 0

    @property
    def prompt_top(self) -> int | None:
        return self.logprobs if self.prompt_logprobs is None and self.echo else self.prompt_logprobs

    @model_validator(mode="before")
    @classmethod
    def _completion_rules(cls, data: Any) -> Any:
        if isinstance(data, dict):
            rules.check_completion(data)
        return data


class TokenizeCompletionRequest(Wire):
    model: str | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool | None = False


class TokenizeChatRequest(Wire):
    model: str | None = None
    messages: list[dict[str, Any]]
    tools: list[Tool] | None = None
    add_special_tokens: bool = False
    return_token_strs: bool | None = False

    @field_validator("messages")
    @classmethod
    def _messages_fit(cls, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return rules.checked_messages(messages)


class DetokenizeRequest(Wire):
    model: str | None = None
    tokens: list[TokenId]


def read_tokenize(data: Any) -> TokenizeChatRequest | TokenizeCompletionRequest:
    """A chat where there are messages, else a prompt. What fits neither gets the complaints of both."""
    models: list[type[TokenizeChatRequest | TokenizeCompletionRequest]]
    models = [TokenizeCompletionRequest, TokenizeChatRequest]
    return read_one_of(models[::-1] if isinstance(data, dict) and "messages" in data else models, data)
