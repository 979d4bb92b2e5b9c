"""What traces cost: CPU of the gateway per request with spans sent to an OTLP receiver, against none.

Three gateways in front of the same fake model servers take the same load by turns: without traces, with one request in
a hundred traced, and with every one. The receiver is this process's and takes all. Prints the mean of the differences
between turns of a round, with a 95 % interval over rounds, and how many spans were sent and lost. Ends with 1 if an
answer was wrong, or if for plain requests the mean at 1 % is above 15 us, our aim.
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
SHARES = (0.01, 1.0)
MEASURED = SCENARIOS[:2]  # plain requests and unpaced streams: what a trace costs hangs on nothing else
_UNLIMITED = 1_000_000


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


def measured(rounds: int, console: Console) -> tuple[dict[float, list[Row]], dict[float, dict[str, int]]]:
    """Rows and counts of spans, by share."""
    upstreams = [free_port(), free_port()]
    servers = [subprocess.Popen([sys.executable, str(HERE / "fake_model_server.py"), str(p)]) for p in upstreams]
    rows: dict[float, list[Row]] = {share: [] for share in SHARES}
    try:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack, Progress(console=console) as shown:
            folder = pathlib.Path(name)
            environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(receiver())}
            port, process = stack.enter_context(serving(folder, "off", upstreams, {}, {"OTEL_SDK_DISABLED": "true"}))
            off = port, process.pid
            on = {}
            for share in SHARES:
                settings = {"traces": {"sample": share, "per_second": _UNLIMITED}}
                port, process = stack.enter_context(serving(folder, str(share), upstreams, settings, environment))
                on[share] = port, process.pid
            todo = shown.add_task("measuring", total=len(MEASURED) * len(SHARES))
            for scenario in MEASURED:
                for share in SHARES:
                    rows[share].append(compared(scenario, off, on[share], upstreams[bool(scenario.size)], rounds))
                    shown.advance(todo)
            counts = {share: span_counts(on[share][0]) for share in SHARES}
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    return rows, counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--rounds", type=int, default=6, choices=range(2, 11), metavar="2-10")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    rows, counts = measured(options.rounds, console)
    if options.json:
        found = [{"share": s, "rows": [asdict(row) for row in rows[s]], "spans": counts[s]} for s in SHARES]
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        show(rows, counts, console)
    exact = all(row.exact for share in SHARES for row in rows[share])
    return 0 if exact and rows[SHARES[0]][0].more <= AIM else 1


def show(rows: dict[float, list[Row]], counts: dict[float, dict[str, int]], console: Console) -> None:
    for share in SHARES:
        table = Table("CPU us a request", "no traces", f"{share:.0%} traced", "more", "95 %")
        for row in rows[share]:
            cells = (f"{row.off:.0f}", f"{row.on:.0f}", f"{row.more:.1f}", f"{row.low:.1f} to {row.high:.1f}")
            table.add_row(row.scenario if row.exact else f"{row.scenario}: WRONG ANSWERS", *cells)
        console.print(table)
        console.print(f"{counts[share].get('sent', 0):,} spans sent, {counts[share].get('lost', 0):,} lost")


if __name__ == "__main__":
    raise SystemExit(main())
