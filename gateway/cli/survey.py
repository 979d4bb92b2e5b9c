"""What each endpoint of a configuration says of itself on /v1/models."""

from __future__ import annotations

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from time import monotonic
from typing import IO

from gateway.config import Config, EndpointSettings, PoolSettings
from gateway.config_document import Problem
from gateway.discovery import choose_served
from gateway.upstream_connection import Broken

_TIMEOUT = 2.0
_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One endpoint's served name and window in tokens, or the problem (always a warning) in their place."""

    model: str
    url: str
    reachable: bool
    served_name: str | None = None
    window: int | None = None
    problem: Problem | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Following one would send the endpoint's key to an address that the configuration does not name."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def survey(config: Config) -> tuple[Answer, ...]:
    """Ask all endpoints at once; takes as long as the slowest, a few seconds at most."""
    asked = [(index, number) for index, pool in enumerate(config.pools) for number in range(len(pool.endpoints))]
    with ThreadPoolExecutor(max_workers=16) as executor:
        return tuple(executor.map(lambda place: _ask(config.pools[place[0]], *place), asked))


def _ask(pool: PoolSettings, index: int, number: int) -> Answer:
    endpoint = pool.endpoints[number]
    setting = f"pools[{index}].endpoints[{number}]"

    def warning(message: str) -> Problem:
        return Problem(setting, f"{endpoint.url} {message}", "warning")

    try:
        served, window = choose_served(_models_body(endpoint), pool.model, endpoint.served_name)
    except Broken as error:
        return Answer(pool.model, endpoint.url, reachable=True, problem=warning(f"is not usable: {error}"))
    except (OSError, HTTPException) as error:
        reason = warning(f"{_reason(error)}; the gateway would start and wait for it")
        return Answer(pool.model, endpoint.url, reachable=False, problem=reason)
    doubt = None
    if pool.window is not None and window is not None and pool.window > window:
        doubt = warning(f"has a window of {window} tokens, less than this pool's window, {pool.window}: lower it")
    return Answer(pool.model, endpoint.url, True, served, window, doubt)


def _models_body(endpoint: EndpointSettings) -> bytes:
    """The body of GET /v1/models: without proxies, as the gateway itself connects. Raises OSError, HTTPException."""
    key = endpoint.key()
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(endpoint.base_url + "/v1/models", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
    deadline = monotonic() + _TIMEOUT
    body = bytearray()
    with opener.open(request, timeout=_TIMEOUT) as response:
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > _MAX_BYTES or monotonic() > deadline:
                raise TimeoutError("its list of models is too long or too slow")
    return bytes(body)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (401, 403):
            return f"answers {error.code}: it wants an API key, or another one (api_key_env)"
        return f"answers {error.code} to GET /v1/models"
    if isinstance(error, urllib.error.URLError):
        cause = error.reason
        return f"cannot be reached: {(cause.strerror or cause) if isinstance(cause, OSError) else cause}"
    if isinstance(error, TimeoutError):
        return f"does not answer within {_TIMEOUT:g} s"
    return f"breaks off: {str(error) or type(error).__name__}"
