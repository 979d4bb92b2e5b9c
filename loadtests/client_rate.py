"""What one locust process of the people bears: chunks and requests a second against a server that costs little.

`python -m loadtests.client_rate [--requests N] [--chunks N] [--users N]`. Chunks come
5 ms apart. Prints CPU time a request, and the rate at which it would fill one core: there locust's times are
no longer to be trusted. Well below it (half is safe) it is not the bottleneck.
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

_PAUSE = 0.005  # seconds between an answer's chunks, so that each is read by itself, as from a model server
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_IDENTITY = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1763900000, "model": "rate"}


def _event(**fields: object) -> bytes:
    data = b"data: " + json.dumps(_IDENTITY | fields, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunks: int) -> None:
    """Answers of so many chunks, one request after the other."""
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
                await asyncio.sleep(_PAUSE)
                if writer.is_closing():
                    return
            writer.write(end + usage + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve(port: int, chunks: int) -> None:
    server = await asyncio.start_server(lambda reader, writer: answer(reader, writer, chunks), "127.0.0.1", port)
    await server.serve_forever()


def rate(users: int, chunks: int, requests: int, folder: Path) -> dict[str, float]:
    """CPU milliseconds of locust's process a request, and what one core could bear of them a second at most.

    What its start takes is left out: it is measured by a run of one request.
    """
    port = free_port()
    command = [sys.executable, "-m", "loadtests.client_rate", "--serve", str(port), "--chunks", str(chunks)]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        one, spent_for_one = spent(port, 1, 1, folder)
        all_of_them, spent_for_all = spent(port, users, requests, folder)
    finally:
        server.kill()
        server.wait()
    cpu = (spent_for_all - spent_for_one) / (all_of_them - one)
    return {
        "chunks_a_request": chunks,
        "requests": all_of_them,
        "cpu_ms_a_request": round(1e3 * cpu, 3),
        "requests_a_second_at_most": round(1 / cpu, 1),
        "chunks_a_second_at_most": round(chunks / cpu),
    }


def spent(port: int, users: int, requests: int, folder: Path) -> tuple[int, float]:
    """How many requests there were, and CPU seconds of the whole run. Raises SystemExit if an answer was wrong."""
    told = folder / "statistics"
    locust = [str(LOCUST), "-f", str(LOCUSTFILE), "--host", f"http://127.0.0.1:{port}", "--headless"]
    locust += ["--only-summary", "--loglevel", "ERROR", "--mix", "benchmark", "--pace", "0", "--users", str(users)]
    locust += ["--spawn-rate", str(users), "--answers", str(requests), "--json-file", str(told), "--run-time", "5m"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(locust, cwd=ROOT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"locust ended with exit code {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    rows = json.loads(Path(f"{told}.json").read_text())
    (found,) = (row["num_requests"] for row in rows if row["method"] == "E2E")
    return found, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--chunks", type=int, default=0, help="chunks an answer; default: 1, 16 and 128 by turns")
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.serve, options.chunks))
    with tempfile.TemporaryDirectory() as folder:
        for chunks in (options.chunks,) if options.chunks else (1, 16, 128):
            print(json.dumps(rate(options.users, chunks, options.requests, Path(folder))), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
