"""Whether live traffic notices shadow-eval: TTFT and time between chunks, all sampled and scored, against none.

Two gateways in front of the same simulated model servers take the same streams by turns, at times drawn once: one of
them samples every request, and the process beside it matches and stores them and runs the answers' tests in the
sandbox meanwhile. Prompts are tasks of the suite five, so every request comes to a verdict. What is left to score
after a turn is waited for, or it would burden the next one. Prints the ratio of the 99th percentiles of a round's two
turns, as the median over rounds with a 95 % interval; the 99th percentiles of all rounds together, verdicts a minute
and the share that was dropped. `python -m loadtests.shadow_latency [--json] [--rounds N] [--rate R]`.

The model servers' times are those of a preset (computed, not measured); they and this client share the machine's cores
with the gateways and the scorer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import pathlib
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import track
from rich.table import Table

from gateway.demo.scoreboard import planted
from gateway.demo.tokenizer import cached_tokenizer
from gateway.shadow.suites.load import load
from loadtests.overhead import KEY, free_port
from loadtests.shadow import MODELS, gateway, metrics_of, shadow_counts

_PRESETS = ("codegeex4-9b-h100", "iquest-40b-loop-tp4-h100")
_TURN = 12.0  # seconds
_TOKENS = 16
_WORST = 0.99
_LONGEST_WAIT = 180.0
_ENOUGH = 1.05
_FEWEST_ROUNDS = 20


@dataclass
class Turn:
    """Seconds: to each stream's first chunk, and between its chunks. `seconds`: until the last stream had ended."""

    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    requests: int = 0
    seconds: float = 0.0


async def stream(port: int, body: bytes, after: float, turn: Turn) -> None:
    await asyncio.sleep(after)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    head += f"authorization: Bearer {KEY}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    before, tail, chunks = time.perf_counter(), b"", 0
    while data := await reader.read(65_536):
        now = time.perf_counter()
        if b'"content":"' in data:
            (turn.between if chunks else turn.first).append(now - before)
            before, chunks = now, chunks + 1
        tail = (tail + data)[-200:]
    writer.close()
    if not chunks or b"[DONE]" not in tail:
        raise SystemExit(f"a stream ended without its end: {tail!r}")
    turn.requests += 1


async def take(port: int, bodies: Sequence[bytes], times: Sequence[float]) -> Turn:
    turn, started = Turn(), time.monotonic()
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for number, after in enumerate(times):
            group.create_task(stream(port, bodies[number % len(bodies)], after, turn))
    turn.seconds = time.monotonic() - started
    return turn


def bodies() -> list[bytes]:
    tasks = load("five").tasks.values()
    return [
        json.dumps(
            {
                "model": MODELS[0],
                "messages": [{"role": "user", "content": task.instruct_prompt}],
                "stream": True,
                "max_tokens": _TOKENS,
            }
        ).encode()
        for task in tasks
    ]


@contextlib.contextmanager
def servers(log: pathlib.Path) -> Iterator[list[int]]:
    """Simulated model servers that solve the tasks as often as is claimed of their families: their ports."""
    ports = [free_port() for _ in MODELS]
    tokenizer, options = str(cached_tokenizer()), planted()
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        for model, preset, port in zip(MODELS, _PRESETS, ports, strict=True):
            command = [sys.executable, "-m", "gateway", "engine", "simulate", "--model", model, "--port", str(port)]
            command += ["--preset", preset, "--tokenizer", tokenizer, *options[model]]
            process = stack.enter_context(subprocess.Popen(command, stdout=output, stderr=output))
            stack.callback(process.terminate)
        yield ports


def verdicts(port: int) -> float:
    found = re.findall(r"^yardstick_shadow_verdicts_total\{[^}]*\} (\S+)", metrics_of(port), re.MULTILINE)
    return sum(map(float, found))


def wait_for_verdicts(port: int, expected: Callable[[], float]) -> None:
    """Until all that was sampled and not dropped has one."""
    end = time.monotonic() + _LONGEST_WAIT
    while verdicts(port) < expected():
        if time.monotonic() > end:
            raise SystemExit(f"{verdicts(port):g} verdicts after {_LONGEST_WAIT:g} s, and not {expected():g}")
        time.sleep(0.5)


def worst(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(int(_WORST * len(ordered)), len(ordered) - 1)]


def ratio(rounds: Sequence[tuple[Turn, Turn]], part: str) -> tuple[float, float, float]:
    """Of a round's 99th percentiles, on to off: the median over rounds, and its interval of at least 95 %.

    The interval holds whatever the ratios' distribution, which has long tails: a machine that stalls once in a turn can
    double it, with or without scoring. Raises ValueError for fewer than 6 rounds, which have no such interval.
    """
    ratios = sorted(worst(getattr(on, part)) / worst(getattr(off, part)) for off, on in rounds)
    outer = outermost(len(ratios))
    return statistics.median(ratios), ratios[outer], ratios[-1 - outer]


def outermost(n: int) -> int:
    """How many of n values on each side may be left out, for the rest to hold their median in 95 % of cases.

    Below the median are as many of them as heads of n tosses. Raises ValueError if even all are not enough.
    """
    below, found = 0, -1
    while (below := below + math.comb(n, found + 1)) <= 0.025 * 2**n:
        found += 1
    if found < 0:
        raise ValueError(f"{n} values have no interval of 95 % for their median")
    return found


def measured(rounds: int, rate: float, console: Console) -> tuple[list[tuple[Turn, Turn]], dict[str, float]]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        upstreams = stack.enter_context(servers(folder / "servers.log"))
        for upstream in upstreams:
            wait_until_listening(upstream)
        off, _ = stack.enter_context(gateway(folder, upstreams, sampled=False))
        on, _ = stack.enter_context(gateway(folder, upstreams, sampled=True, scorers=1))
        asked, found = bodies(), []
        asyncio.run(take(off, asked, [0.2] * 4))
        asyncio.run(take(on, asked, [0.2] * 4))
        scored = 0.0

        def expected() -> float:
            counts, _ = shadow_counts(on)
            return counts["sampled"] - counts["dropped"]

        wait_for_verdicts(on, expected)
        drawn = random.Random(2)
        for number in track(range(rounds), "measuring", console=console):
            times, at = [], 0.0
            while (at := at + drawn.expovariate(rate)) < _TURN:
                times.append(at)
            turns: dict[int, Turn] = {}
            for port in (off, on) if number % 2 == 0 else (on, off):
                before = verdicts(on)
                turns[port] = asyncio.run(take(port, asked, times))
                if port == on:
                    scored += verdicts(on) - before
                    wait_for_verdicts(on, expected)
            found.append((turns[off], turns[on]))
        counts, _ = shadow_counts(on)
    seconds = sum(turn.seconds for _, turn in found)
    counts["verdicts_a_minute"] = 60 * scored / seconds
    counts["verdicts"] = scored
    return found, counts


def wait_until_listening(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        time.sleep(0.2)
    raise SystemExit(f"nobody listens on port {port}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("--rounds", type=int, default=40, choices=range(_FEWEST_ROUNDS, 101), metavar="20-100")
    parser.add_argument("--rate", type=float, default=36.0, help="requests a second (default: %(default)s)")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    rounds, counts = measured(options.rounds, options.rate, console)
    rows = {"TTFT": ratio(rounds, "first"), "between chunks": ratio(rounds, "between")}
    show(rounds, rows, counts, console, as_json=options.json)
    return 0 if all(high <= _ENOUGH for _, _, high in rows.values()) else 1


def show(
    rounds: Sequence[tuple[Turn, Turn]],
    rows: dict[str, tuple[float, float, float]],
    counts: dict[str, float],
    console: Console,
    *,
    as_json: bool,
) -> None:
    parts = {"TTFT": "first", "between chunks": "between"}
    off = {name: [v for one, _ in rounds for v in getattr(one, part)] for name, part in parts.items()}
    on = {name: [v for _, one in rounds for v in getattr(one, part)] for name, part in parts.items()}
    share = counts["dropped"] / counts["sampled"]
    if as_json:
        told = {
            name: {
                "p99_off": worst(off[name]),
                "p99_on": worst(on[name]),
                "ratio": row[0],
                "low": row[1],
                "high": row[2],
                "rounds": [[worst(getattr(turn, parts[name])) for turn in turns] for turns in rounds],
            }
            for name, row in rows.items()
        }
        requests = sum(one.requests for one, _ in rounds)
        sys.stdout.write(json.dumps({**told, **counts, "requests": requests, "dropped_share": share}, indent=2) + "\n")
        return
    table = Table("milliseconds", "n", "p50 off", "p50 on", "p99 off", "p99 on", "ratio of p99", "95 %")
    for name, (found, low, high) in rows.items():
        both = [statistics.median(off[name]), statistics.median(on[name]), worst(off[name]), worst(on[name])]
        numbers = [f"{1e3 * value:.2f}" for value in both]
        table.add_row(name, f"{len(off[name]):,}", *numbers, f"{found:.3f}", f"{low:.3f} to {high:.3f}")
    console.print(table)
    console.print(
        f"{counts['verdicts_a_minute']:.0f} verdicts a minute while it was measured;"
        f" {counts['sampled']:,.0f} sampled, {counts['dropped']:,.0f} of them dropped ({share:.1%})"
    )


if __name__ == "__main__":
    raise SystemExit(main())
