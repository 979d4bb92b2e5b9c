"""What vLLM 0.32 does with a prompt between its tokens and the engine: cut it, and refuse what can't be one."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.simulated.errors import bad_parameter, bad_request


def check_cut(asked: int | None, window: int) -> None:
    """Raises the 400 of a `truncate_prompt_tokens` beyond the window, however short the prompt."""
    if asked is not None and asked > window:
        message = f"truncate_prompt_tokens={asked} cannot be greater than max_model_len = {window}. "
        message += "Please request a smaller truncation size."
        raise bad_parameter(message, "truncate_prompt_tokens", asked)


def cut(ids: list[int], asked: int | None, window: int, limit: int | None) -> list[int]:
    """The prompt after `truncate_prompt_tokens`. -1 stands for the window, less one token if an answer is asked for."""
    if asked is None:
        return ids
    return ids[: asked if asked >= 0 else window - (1 if limit else 0)]


def check_ids(ids: Sequence[int], vocabulary: int) -> None:
    """Raises what the engine refuses: a prompt without a token, or with one that it doesn't know."""
    if not ids:
        raise bad_request("The decoder prompt cannot be empty")
    if max(ids) >= vocabulary:
        raise bad_request(f"Token id {max(ids)} is out of vocabulary")
