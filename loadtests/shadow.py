"""What shadow-eval costs live traffic: CPU of the gateway per request, every request sampled, against none.

The tap of one gateway is switched off and on by turns (see `turns`), in front of fake model servers; beside it runs the
real process that matches and stores. Its own CPU is not counted: it is another process's, for which the machine needs
room. Prints the mean of the differences between turns, with a 95 % interval, and the share of the samples that was
copied, which is what costs: the fewer requests a second, the more of them. (Half of the time nothing is sampled, so
that the limit lets twice the share of the samples through that it would otherwise.)
`python -m loadtests.shadow [--json] [--seconds N] [--most-per-second N]`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.progress import track
from rich.table import Table

from loadtests.overhead import HERE, KEY, free_port, wait_ready
from loadtests.turns import COLUMNS, LARGE, PLAIN, STREAM, Row, Switched, command, compared, seconds_of_load

_YARDSTICK = (str(pathlib.Path(sys.executable).parent / "yardstick"),)
MODELS = ("codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct")


@contextlib.contextmanager
def gateway(
    folder: pathlib.Path,
    upstreams: list[int],
    *,
    sampled: bool,
    scorers: int = 0,
    most: float | None = None,
    command: Sequence[str] = _YARDSTICK,
) -> Iterator[tuple[int, int]]:
    """Its port and process id. `most`: samples a second that are copied, if not the setting's default."""
    config: dict[str, object] = {}
    if sampled:
        store = f"sqlite:///{folder / 'shadow.db'}"
        shadow: dict[str, object] = {"keys": {"bench": 1.0}, "store": store, "scorers": scorers}
        config["shadow"] = shadow if most is None else shadow | {"most_per_second": most}
    with serving(folder, f"{sampled}", upstreams, config, command=command) as (port, process):
        end = time.monotonic() + 60
        while sampled and not shadow_counts(port)[1]:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the gateway ended, or no process beside it answered within 60 s")
            time.sleep(0.1)
        yield port, process.pid


@contextlib.contextmanager
def serving(
    folder: pathlib.Path,
    name: str,
    upstreams: list[int],
    settings: Mapping[str, object],
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = _YARDSTICK,
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A gateway with these settings besides the usual ones, ready: its port and process. `command`: `yardstick`."""
    port = free_port()
    keys = folder / "keys"
    keys.write_text(f"bench:sha256:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    keys.chmod(0o600)
    pools = [
        {"model": model, "endpoints": [{"url": f"http://127.0.0.1:{upstream}"}]}
        for model, upstream in zip(MODELS, upstreams, strict=True)
    ]
    config = {"port": port, "api_key_file": str(keys), "pools": pools, **settings}
    file = folder / f"yardstick-{name}.yaml"
    file.write_text(json.dumps(config))  # JSON is YAML
    own = {**os.environ, **(environment or {})}
    with (
        open(folder / f"log-{name}", "wb") as log,
        subprocess.Popen([*command, "serve", "--config", str(file)], stdout=log, stderr=log, env=own) as process,
    ):
        try:
            wait_ready(port, process)
            yield port, process
        finally:
            process.terminate()


def shadow_counts(port: int) -> tuple[dict[str, float], bool]:
    """What the tap counted, and whether the process beside has told its metrics yet."""
    text = metrics_of(port)
    found = re.findall(r"^yardstick_shadow_(sampled|dropped)_total\{[^}]*\} (\S+)", text, re.MULTILINE)
    counts = {"sampled": 0.0, "dropped": 0.0}
    for name, value in found:
        counts[name] += float(value)
    return counts, "yardstick_shadow_held" in text


def metrics_of(port: int) -> str:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    help_ = "of load, for each row, at least 10 (default: %(default)g)"
    parser.add_argument("--seconds", type=seconds_of_load, default=60.0, help=help_)
    parser.add_argument("--most-per-second", type=float, metavar="N", help="the setting, if not its default")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    upstreams = [free_port(), free_port()]
    servers = [subprocess.Popen([sys.executable, str(HERE / "fake_model_server.py"), str(p)]) for p in upstreams]
    try:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            folder = pathlib.Path(name)
            file = folder / "turns.json"
            own = command("tap", file)
            one = gateway(folder, upstreams, sampled=True, most=options.most_per_second, command=own)
            port, process = stack.enter_context(one)
            found = []
            before, _ = shadow_counts(port)
            for scenario in track((PLAIN, STREAM, LARGE), "measuring", console=console):
                running = Switched(port, process, file)
                row = compared(scenario, running, upstreams[bool(scenario.size)], options.seconds)
                counts, _ = shadow_counts(port)
                sampled, dropped = (counts[name] - before[name] for name in ("sampled", "dropped"))
                found.append((row, int(sampled), int(dropped)))
                before = counts
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    show(found, console, as_json=options.json)
    return 0 if all(row.exact for row, _, _ in found) else 1


def show(found: list[tuple[Row, int, int]], console: Console, *, as_json: bool) -> None:
    """Rows with how many were sampled, and how many of these dropped."""
    if as_json:
        told = [asdict(row) | {"sampled": sampled, "dropped": dropped} for row, sampled, dropped in found]
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    table = Table(*COLUMNS, "sampled", "copied")
    for row, sampled, dropped in found:
        copied = f"{(sampled - dropped) / sampled:.1%}" if sampled else ""
        table.add_row(*row.cells(), f"{sampled:,}", copied)
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
