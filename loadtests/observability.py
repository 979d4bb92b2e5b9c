"""What being observed costs: CPU of the gateway per request with metrics, log lines and traces, and without.

Gateways in front of the same fake model servers take the same load by turns: one that records nothing
(`unrecorded.py`), one with metrics and log lines, and two that also send spans, of one request in a hundred and of
every one, to an OTLP receiver, which is this process's and takes all. Prints the mean of the differences between turns
of a round, with a 95 % interval over rounds, and how many spans were sent and lost. Ends with 1 if an answer was wrong,
or if for plain requests all of it with 1 % of the traces takes more than 15 us in the mean, our aim.
`python -m loadtests.observability [--json] [--rounds N]`.
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
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from loadtests.overhead import HERE, SCENARIOS, free_port
from loadtests.shadow import Row, compared, metrics_of, serving

AIM = 15.0
NOTHING, RECORDED, ONE_PERCENT, ALL = "nothing", "metrics and lines", "and 1 % of the traces", "and all traces"
COMPARED = ((NOTHING, ONE_PERCENT), (NOTHING, RECORDED), (RECORDED, ONE_PERCENT), (RECORDED, ALL))
SHARES = {ONE_PERCENT: 0.01, ALL: 1.0}
MEASURED = SCENARIOS[:2]  # plain requests and unpaced streams: what is recorded hangs on nothing else
_UNLIMITED = 1_000_000
_UNRECORDED = ("-m", "loadtests.unrecorded")

Comparison = tuple[str, str]


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


def measured(rounds: int, console: Console) -> tuple[dict[Comparison, list[Row]], dict[str, dict[str, int]]]:
    """Rows by what is compared, and counts of spans by the gateway that sent them."""
    upstreams = [free_port(), free_port()]
    servers = [subprocess.Popen([sys.executable, str(HERE / "fake_model_server.py"), str(p)]) for p in upstreams]
    rows: dict[Comparison, list[Row]] = {pair: [] for pair in COMPARED}
    try:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack, Progress(console=console) as shown:
            running = gateways(pathlib.Path(name), upstreams, stack)
            todo = shown.add_task("measuring", total=len(MEASURED) * len(COMPARED))
            for scenario in MEASURED:
                for off, on in COMPARED:
                    upstream = upstreams[bool(scenario.size)]
                    rows[off, on].append(compared(scenario, running[off], running[on], upstream, rounds))
                    shown.advance(todo)
            counts = {name: span_counts(running[name][0]) for name in SHARES}
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    return rows, counts


def gateways(folder: pathlib.Path, upstreams: list[int], stack: contextlib.ExitStack) -> dict[str, tuple[int, int]]:
    """Port and process id of each."""
    receives = {"OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(receiver())}
    untraced = {"OTEL_SDK_DISABLED": "true"}
    running = {
        NOTHING: serving(
            folder, "nothing", upstreams, {"access_log": False}, untraced, command=[sys.executable, *_UNRECORDED]
        ),
        RECORDED: serving(folder, "recorded", upstreams, {}, untraced),
    }
    for name, share in SHARES.items():
        settings = {"traces": {"sample": share, "per_second": _UNLIMITED}}
        running[name] = serving(folder, str(share), upstreams, settings, receives)
    entered = {name: stack.enter_context(one) for name, one in running.items()}
    return {name: (port, process.pid) for name, (port, process) in entered.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--rounds", type=int, default=6, choices=range(2, 11), metavar="2-10")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    rows, counts = measured(options.rounds, console)
    if options.json:
        found = [{"off": pair[0], "on": pair[1], "rows": [asdict(row) for row in rows[pair]]} for pair in COMPARED]
        sys.stdout.write(json.dumps({"compared": found, "spans": counts}, indent=2) + "\n")
    else:
        show(rows, counts, console)
    exact = all(row.exact for found in rows.values() for row in found)
    return 0 if exact and rows[NOTHING, ONE_PERCENT][0].more <= AIM else 1


def show(rows: dict[Comparison, list[Row]], counts: dict[str, dict[str, int]], console: Console) -> None:
    for (off, on), found in rows.items():
        table = Table("CPU us a request", off, on, "more", "95 %")
        for row in found:
            cells = (f"{row.off:.0f}", f"{row.on:.0f}", f"{row.more:.1f}", f"{row.low:.1f} to {row.high:.1f}")
            table.add_row(row.scenario if row.exact else f"{row.scenario}: WRONG ANSWERS", *cells)
        console.print(table)
    for name, count in counts.items():
        console.print(f"{name}: {count.get('sent', 0):,} spans sent, {count.get('lost', 0):,} lost")


if __name__ == "__main__":
    raise SystemExit(main())
