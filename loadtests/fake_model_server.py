"""A model server that costs next to nothing: fixed answers in vLLM's shape, so that what is measured is the gateway.

`python fake_model_server.py PORT`. A streaming request gets ``max_tokens`` chunks, ``seed`` milliseconds apart.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import cast

import uvloop

_MODELS = b'{"object":"list","data":[{"id":"fake-model","object":"model","max_model_len":131072}]}'
_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1763900000,"model":"fake-model","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"def reverse(text):\\n    return text[::-1]"},"logprobs":null,'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"total_tokens":56,"completion_tokens":32}}'
)
_CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763900000,"model":"fake-model","choices":'
    b'[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n'
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def _plain(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _number(body: bytes, key: bytes) -> int:
    found = re.search(rb'"%b": *(\d+)' % key, body)
    return int(found[1]) if found else 0


class ModelServer(asyncio.Protocol):
    def __init__(self) -> None:
        self.buffer = bytearray()
        self.length = -1
        self.streams: set[asyncio.TimerHandle] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.length < 0:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            found = _LENGTH.search(self.buffer, 0, head)
            self.length = head + 4 + (int(found[1]) if found else 0)
        if len(self.buffer) >= self.length:
            request = bytes(self.buffer)
            self.buffer.clear()
            self.length = -1
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"GET"):
            self.transport.write(_plain(_MODELS))
        elif b'"stream":true' in request[-400:] or b'"stream":true' in request[:800]:
            self.transport.write(_STREAM_HEAD)
            self._chunk(_number(request[:800], b"max_tokens"), _number(request[:800], b"seed") / 1e3)
        else:
            self.transport.write(_plain(_ANSWER))

    def _chunk(self, left: int, pause: float) -> None:
        if self.transport.is_closing():
            return
        if left:
            self.transport.write(_framed(_CHUNK))
            asyncio.get_running_loop().call_later(pause, self._chunk, left - 1, pause)
        else:
            self.transport.write(_framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(ModelServer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
