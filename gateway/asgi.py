"""The bridge from an exchange to the litestar application, for every route that is not relayed."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote_to_bytes

from litestar.types import ASGIApp, Message

from gateway.errors import ApiError
from gateway.exchange import Exchange

LONGEST_PATH, LONGEST_SEGMENT = 2048, 255  # static files ask the file system, which fails at longer ones


async def answer(app: ASGIApp, exchange: Exchange) -> None:
    """Runs the application on a request that was read whole, and sends its answer whole: these are small."""
    path = unquote_to_bytes(exchange.path)
    if b"\0" in path or len(path) > LONGEST_PATH or max(map(len, path.split(b"/"))) > LONGEST_SEGMENT:
        exchange.reply_error(ApiError(404, "There is no such route; GET /docs lists them.", code="not_found"))
        return
    status = 500
    headers: list[tuple[bytes, bytes]] = []
    parts: list[bytes] = []
    asked = False
    sent = asyncio.Event()  # streamed answers, such as large files, wait for the end of their connection

    async def receive() -> Any:
        nonlocal asked
        if asked:
            await sent.wait()  # a client that leaves before cancels this task
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": exchange.body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [(bytes(name).lower(), bytes(value)) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                sent.set()

    await app(_scope(app, exchange, path), receive, send)
    exchange.reply(status, headers, b"".join(parts))


def _scope(app: ASGIApp, exchange: Exchange, path: bytes) -> Any:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.0" if exchange.http10 else "1.1",
        "server": None,
        "client": None,
        "scheme": "http",
        "method": exchange.method.decode("latin-1"),
        "root_path": "",
        "path": path.decode("utf-8", "replace"),
        "raw_path": exchange.path,
        "query_string": exchange.query,
        "headers": exchange.headers,
        "state": {},
        "app": app,
    }
