"""What being observed costs: CPU of the gateway per request with metrics, log lines and traces, and without.

A part is switched off and on by turns within one gateway (see `turns`): metrics, log lines and the traces of one
request in a hundred; metrics and lines; such traces; and all traces. Spans go to an OTLP receiver, which is this
process's and takes all. Prints the mean of the differences between turns and a 95 % interval, with what threads take
that write lines and encode and send spans, and how many spans were sent and lost. Ends with 1 if an answer was wrong,
or if all of it, with 1 % of the traces, is more than 15 us for plain requests in the mean, our aim.
`python -m loadtests.observability [--json] [--seconds N]`.
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
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from loadtests.overhead import HERE, free_port
from loadtests.shadow import metrics_of, serving
from loadtests.turns import COLUMNS, PLAIN, STREAM, Row, Switched, command, compared, seconds_of_load

AIM = 15.0
_UNLIMITED = 1_000_000


@dataclass(frozen=True)
class Part:
    """What is switched, in a gateway that traces this share of the requests; 0: it has nowhere to send spans to."""

    name: str
    switched: str
    share: float


ALL_OF_IT = Part("metrics, lines, and 1 % of the traces", "recording", 0.01)
PARTS = (
    ALL_OF_IT,
    Part("metrics and lines", "recording", 0.0),
    Part("1 % of the traces", "traces", 0.01),
    Part("all traces", "traces", 1.0),
)
MEASURED = (PLAIN, STREAM)
"""Plain requests and unpaced streams: what is recorded hangs on nothing else."""


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


def measured(seconds: float, console: Console) -> tuple[dict[Part, list[Row]], dict[Part, dict[str, int]]]:
    """Rows by what was switched, and counts of the spans that were sent meanwhile."""
    upstreams = [free_port(), free_port()]
    servers = [subprocess.Popen([sys.executable, str(HERE / "fake_model_server.py"), str(p)]) for p in upstreams]
    rows: dict[Part, list[Row]] = {part: [] for part in PARTS}
    counts = dict[Part, dict[str, int]]()
    try:
        with receiver() as address, Progress(console=console) as shown:
            todo = shown.add_task("measuring", total=len(MEASURED) * len(PARTS))
            for part in PARTS:
                with switching(part, upstreams, address) as gateway:
                    for scenario in MEASURED:
                        rows[part].append(compared(scenario, gateway, upstreams[bool(scenario.size)], seconds))
                        shown.advance(todo)
                    counts[part] = span_counts(gateway.port)
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    return rows, counts


@contextlib.contextmanager
def switching(part: Part, upstreams: list[int], address: str) -> Iterator[Switched]:
    """A gateway that sends its spans to `address`, if the part has any."""
    settings, environment = {}, {"OTEL_SDK_DISABLED": "true"}
    if part.share:
        settings = {"traces": {"sample": part.share, "per_second": _UNLIMITED}}
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        file = folder / "turns.json"
        with serving(folder, "x", upstreams, settings, environment, command(part.switched, file)) as (port, process):
            yield Switched(port, process.pid, file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    help_ = "of load, for each row, at least 10 (default: %(default)g)"
    parser.add_argument("--seconds", type=seconds_of_load, default=60.0, help=help_)
    options = parser.parse_args()
    console = Console(stderr=options.json)
    rows, counts = measured(options.seconds, console)
    if options.json:
        parts = [
            {"part": part.name, "rows": [asdict(row) for row in rows[part]], "spans": counts[part]} for part in PARTS
        ]
        sys.stdout.write(json.dumps(parts, indent=2) + "\n")
    else:
        show(rows, counts, console)
    exact = all(row.exact for found in rows.values() for row in found)
    return 0 if exact and rows[ALL_OF_IT][0].more <= AIM else 1


def show(rows: dict[Part, list[Row]], counts: dict[Part, dict[str, int]], console: Console) -> None:
    for part, found in rows.items():
        table = Table(*COLUMNS, title=part.name)
        for row in found:
            table.add_row(*row.cells())
        console.print(table)
        if part.share:
            console.print(f"{counts[part].get('sent', 0):,} spans sent, {counts[part].get('lost', 0):,} lost")


if __name__ == "__main__":
    raise SystemExit(main())
