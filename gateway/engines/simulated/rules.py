"""Rules over the fields of a request that vLLM 0.32 checks before the fields themselves.

What breaks one is a "BadRequestError", whatever else is wrong with the body. ``data`` is the body's JSON object.
"""

from __future__ import annotations

from typing import Any

from gateway.engines.simulated.errors import bad_parameter, broken_rule

_MAX_PROMPTS = 1_024
_MAX_SALT = 128
_NOT_IN_A_SALT = frozenset("@/\\\x00")


def check_generation(data: dict[str, Any]) -> None:
    if data.get("stream_options") and not data.get("stream"):
        raise broken_rule("Stream options can only be defined when `stream=True`.", "stream_options")
    form = data.get("response_format")
    if isinstance(form, dict) and form.get("type") == "json_schema" and form.get("json_schema") is None:
        message = "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        raise broken_rule(message, "response_format")
    _check_salt(data.get("cache_salt"))
    _check_number(data, "prompt_logprobs")
    wanted = data.get("prompt_logprobs")
    if wanted is not None and data.get("stream") and (wanted > 0 or wanted == -1):
        raise broken_rule("`prompt_logprobs` are not available when `stream=True`.", "prompt_logprobs")


def _check_salt(salt: Any) -> None:
    if salt == "":
        raise broken_rule("Parameter 'cache_salt' must be a non-empty string if provided.", "cache_salt")
    if isinstance(salt, str) and (len(salt) > _MAX_SALT or _NOT_IN_A_SALT & set(salt)):
        message = f"Parameter 'cache_salt' must be at most {_MAX_SALT} characters and must not contain '@', '/', "
        raise broken_rule(message + "'\\\\', or NUL.", "cache_salt")


def _check_number(data: dict[str, Any], name: str) -> None:
    """Of log probabilities: a number, and none below 0 but -1."""
    value = data.get(name)
    if value is None:
        return
    if not isinstance(value, int | float):
        raise bad_parameter(f"`{name}` must be an integer.", name, value)
    if value < 0 and value != -1:
        raise bad_parameter(f"`{name}` must be a positive value or -1.", name, value)


def check_completion(data: dict[str, Any]) -> None:
    prompt = data.get("prompt")
    if prompt in (None, ""):
        raise broken_rule("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    several = isinstance(prompt, list) and not all(isinstance(item, int) for item in prompt)
    if several and len(prompt) > _MAX_PROMPTS:
        message = f"prompt list length {len(prompt)} exceeds the maximum allowed count of {_MAX_PROMPTS}. "
        message += "To increase this limit, set the VLLM_MAX_COMPLETION_PROMPTS environment variable."
        raise broken_rule(message, "prompt")
    _check_number(data, "logprobs")


def checked_chat_logprobs(data: dict[str, Any]) -> dict[str, Any]:
    _check_number(data, "top_logprobs")
    top = data.get("top_logprobs")
    if top is not None and (top == -1 or top > 0) and not data.get("logprobs"):
        raise broken_rule("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    return data


def checked_messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Raises the ValueError of one that is no message: a role, and a content that is a text or a list of parts."""
    for message in messages:
        if not isinstance(message.get("role"), str):
            raise ValueError("a message needs a role")
        content = message.get("content")
        absent = content is None and (message["role"] == "assistant" or "content" not in message)
        if not absent and not isinstance(content, str | list):
            raise ValueError("a message's content is a text or a list of parts")
    return messages


def with_tool_choice(data: dict[str, Any]) -> dict[str, Any]:
    """Tools without a choice mean ``auto``; a choice must fit the tools."""
    tools, choice = data.get("tools"), data.get("tool_choice")
    if tools == []:
        message = "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        raise broken_rule(message, "tools")
    if "tool_choice" not in data:
        return {**data, "tool_choice": "auto"} if tools else data
    if choice is None or choice == "none":
        return data
    if tools is None:
        raise broken_rule("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice not in ("auto", "required") and not isinstance(choice, dict):
        message = f"Invalid value for `tool_choice`: {choice}! Only named tools, "
        raise broken_rule(message + '"none", "auto" or "required" are supported.', "tool_choice")
    if isinstance(choice, dict):
        _check_named_tool(choice, tools)
    return data


def _check_named_tool(choice: dict[str, Any], tools: Any) -> None:
    usage = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'
    function = choice.get("function")
    if not isinstance(function, dict):
        message = f"Invalid value for `function`: `{function}` in `tool_choice`! {usage}"
        raise broken_rule(message, "tool_choice.function")
    if "name" not in function:
        message = f"Expected field `name` in `function` in `tool_choice`! {usage}"
        raise broken_rule(message, "tool_choice.function.name")
    names = [tool["function"].get("name") for tool in tools if isinstance(tool, dict) and "function" in tool]
    if function["name"] not in names:
        message = "The tool specified in `tool_choice` does not match any of the specified `tools`"
        raise broken_rule(message, "tool_choice")
