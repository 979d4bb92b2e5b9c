"""What being observed costs: CPU of the gateway per request with metrics, log lines and traces, and without.

A part is switched off and on by turns within one gateway (see `turns`): metrics and log lines; these and the traces of
one request in a hundred; such traces alone; and all traces. Spans go to an OTLP receiver, which is this process's and
takes all. Prints the mean of the differences between turns of a round, with a 95 % interval over rounds, and how many
spans were sent and lost.

Spans are sent every 5 s, as usual, which may be in any turn, so that the sending of 1 % is in both columns; all of them
are sent within their turn. So a hundredth of what all traces take is added to the cost of 1 %, which counts their
making twice. Ends with 1 if an answer was wrong, or if this sum is more than 15 us for plain requests in the mean, our
aim. `python -m loadtests.observability [--json] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from loadtests.overhead import HERE, SCENARIOS, free_port
from loadtests.shadow import metrics_of, serving
from loadtests.turns import FEWEST_ROUNDS, Row, command, compared

AIM = 15.0
_UNLIMITED = 1_000_000


@dataclass(frozen=True)
class Part:
    """What is switched, in a gateway that traces this share of the requests; 0: it has nowhere to send spans to."""

    name: str
    switched: tuple[str, ...]
    share: float


ALL_OF_IT = Part("metrics, lines, and 1 % of the traces", ("recording", "traces"), 0.01)
ALL_TRACES = Part("all traces", ("traces",), 1.0)
PARTS = (
    ALL_OF_IT,
    Part("metrics and lines", ("recording",), 0.0),
    Part("1 % of the traces", ("traces",), 0.01),
    ALL_TRACES,
)
# Plain requests and unpaced streams: what is recorded hangs on nothing else. Turns of a third of a second.
MEASURED = tuple(replace(scenario, requests=scenario.requests // 12) for scenario in SCENARIOS[:2])


class Receiver(BaseHTTPRequestHandler):
    """Takes everything; an empty answer is OTLP's for that."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def span_counts(port: int) -> dict[str, int]:
    found = re.findall(r'^yardstick_spans_total\{outcome="(\w+)"\} (\S+)', metrics_of(port), re.MULTILINE)
    return {outcome: int(float(count)) for outcome, count in found}


def measured(rounds: int, console: Console) -> tuple[dict[Part, list[Row]], dict[Part, dict[str, int]]]:
    """Rows by what was switched, and counts of the spans that were sent meanwhile."""
    upstreams = [free_port(), free_port()]
    servers = [subprocess.Popen([sys.executable, str(HERE / "fake_model_server.py"), str(p)]) for p in upstreams]
    rows: dict[Part, list[Row]] = {part: [] for part in PARTS}
    counts = dict[Part, dict[str, int]]()
    try:
        with receiver() as address, Progress(console=console) as shown:
            todo = shown.add_task("measuring", total=len(MEASURED) * len(PARTS))
            for part in PARTS:
                with switching(part, upstreams, address) as (port, process):
                    for scenario in MEASURED:
                        upstream = upstreams[bool(scenario.size)]
                        rows[part].append(compared(scenario, (port, process), upstream, rounds))
                        shown.advance(todo)
                    counts[part] = span_counts(port)
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    return rows, counts


@contextlib.contextmanager
def switching(part: Part, upstreams: list[int], address: str) -> Iterator[tuple[int, int]]:
    """A gateway's port and process."""
    settings, environment = {}, {"OTEL_SDK_DISABLED": "true"}
    if part.share:
        settings = {"traces": {"sample": part.share, "per_second": _UNLIMITED}}
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
        if part == ALL_TRACES:
            environment["OTEL_BSP_SCHEDULE_DELAY"] = "200"  # milliseconds: less than turns settle
    with tempfile.TemporaryDirectory() as folder:
        serves = serving(pathlib.Path(folder), "x", upstreams, settings, environment, command(*part.switched))
        with serves as (port, process):
            yield port, process.pid


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--rounds", type=int, default=100, choices=range(FEWEST_ROUNDS, 1001), metavar="20-1000")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    rows, counts = measured(options.rounds, console)
    if options.json:
        parts = [
            {"part": part.name, "rows": [asdict(row) for row in rows[part]], "spans": counts[part]} for part in PARTS
        ]
        sums = {scenario.name: with_sending(rows, number) for number, scenario in enumerate(MEASURED)}
        sys.stdout.write(json.dumps({"parts": parts, "with_sending": sums}, indent=2) + "\n")
    else:
        show(rows, counts, console)
    exact = all(row.exact for found in rows.values() for row in found)
    return 0 if exact and with_sending(rows, 0) <= AIM else 1


def with_sending(rows: dict[Part, list[Row]], number: int) -> float:
    """Microseconds that all of it takes, of the scenario with this number."""
    return rows[ALL_OF_IT][number].more + ALL_OF_IT.share * rows[ALL_TRACES][number].more


def show(rows: dict[Part, list[Row]], counts: dict[Part, dict[str, int]], console: Console) -> None:
    for part, found in rows.items():
        table = Table("CPU us a request", "off", "on", "more", "95 %", title=part.name)
        for row in found:
            cells = (f"{row.off:.0f}", f"{row.on:.0f}", f"{row.more:.1f}", f"{row.low:.1f} to {row.high:.1f}")
            table.add_row(row.scenario if row.exact else f"{row.scenario}: WRONG ANSWERS", *cells)
        console.print(table)
        if part.share:
            console.print(f"{counts[part].get('sent', 0):,} spans sent, {counts[part].get('lost', 0):,} lost")
    for number, scenario in enumerate(MEASURED):
        console.print(f"{scenario.name}: {with_sending(rows, number):.1f} us with the sending of 1 % of the traces")


if __name__ == "__main__":
    raise SystemExit(main())
