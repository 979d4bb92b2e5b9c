"""One request to the gateway's own API, and what came of it. Nothing here is streamed or tried again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from gateway.shadow.canary.mark import HEADER, mark
from gateway.shadow.canary.request import CHAT, CanaryRequest
from gateway.shadow.store import State

_SHED = (429, 503)
_BEYOND_WINDOW = "context_length_exceeded"


@dataclass(frozen=True, slots=True)
class Answer:
    """`state`: waiting (for its score), or shed, error, beyond window. `reason`: why, without any content.

    `spent`: tokens, prompt and answer; None where it may have cost some and nobody said how many.
    """

    state: State
    text: str | None = field(default=None, repr=False)
    finish_reason: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    reason: str = ""
    spent: int | None = 0


class GatewayClient:
    """Asks the gateway at `address` (http://127.0.0.1:8080). To be closed by `aclose`."""

    def __init__(self, address: str, secret: bytes, *, timeout: float) -> None:
        """`secret`: what marks are sealed with. `timeout`: seconds of silence until an answer is given up."""
        self._secret = secret
        # The environment's proxies are for other hosts than ourselves.
        self._http = httpx.AsyncClient(base_url=address, timeout=timeout, trust_env=False, follow_redirects=False)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(self, request: CanaryRequest, id: str) -> Answer:
        """Raises nothing but cancellation. `id`: ASCII; the gateway knows the request by it as none of a client's."""
        try:
            headers = {HEADER.decode(): mark(self._secret, id).decode()}
            response = await self._http.post(request.route, json=request.body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return Answer(State.ERROR, reason="no connection")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RuntimeError) as error:
            return Answer(State.ERROR, reason=type(error).__name__, spent=None)
        if response.status_code == httpx.codes.OK:
            return _answered(response, chat=request.route == CHAT)
        return _refused(response)


def _refused(response: httpx.Response) -> Answer:
    if response.status_code in _SHED:
        return Answer(State.SHED, reason=f"status {response.status_code}")
    if response.status_code == httpx.codes.BAD_REQUEST and _code(response) == _BEYOND_WINDOW:
        return Answer(State.BEYOND_WINDOW, reason=_BEYOND_WINDOW)
    return Answer(State.ERROR, reason=f"status {response.status_code}")


def _code(response: httpx.Response) -> object:
    try:
        return response.json()["error"]["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _answered(response: httpx.Response, *, chat: bool) -> Answer:
    """Of several choices the first."""
    try:
        body = response.json()
        choice = body["choices"][0]
        text = choice["message"]["content"] if chat else choice["text"]
        finish_reason, usage = choice["finish_reason"], body["usage"]
        tokens_in, tokens_out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return Answer(State.ERROR, reason="malformed answer", spent=None)
    text = "" if text is None else text
    if not isinstance(text, str) or not isinstance(finish_reason, str | None):
        return Answer(State.ERROR, reason="malformed answer", spent=tokens_in + tokens_out)
    return Answer(State.WAITING, text, finish_reason, tokens_in, tokens_out, spent=tokens_in + tokens_out)


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage[name]
    if type(value) is not int or value < 0:
        raise ValueError("no number of tokens")
    return value
