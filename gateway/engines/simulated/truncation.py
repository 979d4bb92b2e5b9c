"""What vLLM 0.32 does with a prompt between its tokens and the engine: cut it, and refuse what can't be one."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.simulated.errors import bad_parameter, bad_request


def cut(ids: list[int], asked: int | None, window: int, limit: int | None) -> tuple[list[int], int | None]:
    """The prompt after `truncate_prompt_tokens`, and `max_tokens` behind it.

    -1 stands for the window, less one token if an answer is asked for, which gets what is left. Raises the 400 of a
    value beyond the window, however short the prompt, and of a prompt without a token.
    """
    if asked is not None:
        if asked > window:
            message = f"truncate_prompt_tokens={asked} cannot be greater than max_model_len = {window}. "
            message += "Please request a smaller truncation size."
            raise bad_parameter(message, "truncate_prompt_tokens", asked)
        ids = ids[: asked if asked >= 0 else window - (1 if limit else 0)]
    if not ids:
        raise bad_request("The decoder prompt cannot be empty")
    return ids, limit if asked != -1 or limit is None else min(limit, window - len(ids))


def check_ids(ids: Sequence[int], vocabulary: int) -> None:
    if ids and max(ids) >= vocabulary:
        raise bad_request(f"Token id {max(ids)} is out of vocabulary")
