"""What one locust process of the people bears: chunks and requests a second against a server that costs little.

`python -m loadtests.client_rate [--seconds N] [--chunks N] [--users N]`. The server sends an answer's chunks as fast as
they are read, so that locust's own CPU is what limits: the figures are its ceiling, at which its times are no longer to
be trusted. A run is sound well below it (half is safe); the README says where that is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtests.overhead import free_port
from loadtests.run_load import LOCUST, LOCUSTFILE, ROOT

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_IDENTITY = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1763900000, "model": "rate"}


def _event(**fields: object) -> bytes:
    data = b"data: " + json.dumps(_IDENTITY | fields, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunks: int) -> None:
    """Answers of so many chunks, each in a segment of its own as far as the other side keeps up."""
    piece = _event(choices=[{"index": 0, "delta": {"content": " token"}, "finish_reason": None}])
    end = _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    usage = _event(choices=[], usage={"prompt_tokens": 100, "completion_tokens": chunks, "total_tokens": 100 + chunks})
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            await reader.readexactly(int(found[1]) if found else 0)
            writer.write(_HEAD)
            for _ in range(chunks):
                writer.write(piece)
                await asyncio.sleep(0)
            writer.write(end + usage + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve(port: int, chunks: int) -> None:
    server = await asyncio.start_server(lambda reader, writer: answer(reader, writer, chunks), "127.0.0.1", port)
    await server.serve_forever()


def rate(users: int, chunks: int, seconds: int, folder: Path) -> dict[str, float]:
    """Of one run: a second, and CPU microseconds of locust's process (its start of about a second included)."""
    port, prefix = free_port(), folder / str(chunks)
    command = [sys.executable, "-m", "loadtests.client_rate", "--serve", str(port), "--chunks", str(chunks)]
    server = subprocess.Popen(command, cwd=ROOT)
    try:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        locust = [str(LOCUST), "-f", str(LOCUSTFILE), "--host", f"http://127.0.0.1:{port}", "--headless"]
        locust += ["--only-summary", "--loglevel", "ERROR", "--mix", "benchmark", "--pace", "0", "--users", str(users)]
        locust += ["--spawn-rate", str(users), "--run-time", f"{seconds}s", "--json-file", str(prefix)]
        done = subprocess.run(locust, cwd=ROOT, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    finally:
        server.kill()
        server.wait()
    if done.returncode:
        raise SystemExit(f"locust ended with exit code {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    rows = json.loads(Path(f"{prefix}.json").read_text())
    (requests,) = (row["num_requests"] for row in rows if row["method"] == "E2E")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "chunks_a_request": chunks,
        "users": users,
        "requests_a_second": requests / seconds,
        "chunks_a_second": requests * chunks / seconds,
        "cpu_share": cpu / seconds,
        "cpu_us_a_chunk": 1e6 * cpu / (requests * chunks),
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--chunks", type=int, default=0, help="chunks an answer; default: 1, 16 and 128 by turns")
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.serve, options.chunks))
    with tempfile.TemporaryDirectory() as folder:
        for chunks in (options.chunks,) if options.chunks else (1, 16, 128):
            print(json.dumps(rate(options.users, chunks, options.seconds, Path(folder))), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
