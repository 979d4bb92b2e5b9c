"""Length routing against one mixed pool, on the same simulated servers and the same arrivals: `make load-comparison`.

Four equal servers (one preset, no prefix cache). Split: three answer prompts up to the threshold, one the longer ones.
Mixed: all four answer everything, the least loaded (fewest tokens in flight) first. Both by the same gateway code, by
turns, for each seed the same arrivals. A model's name stands for its pool only: all four simulate the same model.

Times are in simulated seconds: real ones divided by the time scale. What gateway, client and the servers' own Python
cost is in them, so magnified. Writes `comparison.json` and `comparison.svg` beside this file.
`python -m loadtests.comparison [--seeds N] [--seconds N] [--warm-up N] [--short-rate R] [--long-rate R]`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.run_load import LOCUST, LOCUSTFILE, ROOT
from loadtests.servers import NotReady, Server, processes

RESULT = Path(__file__).with_name("comparison.json")
_SHORT, _LONG = "iquest-coder-v1-7b-instruct", "iquest-coder-v1-14b-instruct"  # names of pools
_PRESET = "iquest-7b-h100"
_SERVERS, _SHORT_SERVERS = 4, 3
_THRESHOLD = 8192
_LONG_TOKENS = "20000-100000"
_LARGEST_LATENESS = 0.02  # real seconds by which 99 % of requests may be sent late, or the client was the bottleneck
_LEAST_FREE = 0.2  # of the machine
SETUPS = ("split", "mixed")
Records = list[dict[str, Any]]


@contextlib.contextmanager
def gateways(folder: Path, scale: float) -> Iterator[dict[str, str]]:
    """Both, in front of the same four servers: addresses by set-up."""
    with processes(folder) as started:
        options = ("--preset", _PRESET, "--time-scale", str(scale), "--no-enable-prefix-caching")
        server = Server(_LONG, (*options, "--max-model-len", "131072"))
        urls = [started.model_server(server) for _ in range(_SERVERS)]
        split = {_SHORT: urls[:_SHORT_SERVERS], _LONG: urls[_SHORT_SERVERS:]}
        by_length = {"short": _SHORT, "long": _LONG, "threshold": _THRESHOLD}
        one = {"short": _LONG, "long": _LONG}
        yield {
            "split": started.gateway(split, served_name=_LONG, affinity=False, routing=by_length),
            "mixed": started.gateway({_LONG: urls}, served_name=_LONG, affinity=False, routing=one),
        }


def arrivals(url: str, seed: int, seconds: float, options: argparse.Namespace, folder: Path) -> Records:
    """One run: a record for each request, all of them right. Raises SystemExit otherwise."""
    records = folder / f"{seed}-{url.rpartition(':')[2]}.jsonl"
    command = [str(LOCUST), "-f", str(LOCUSTFILE), "--host", url, "--headless", "--only-summary", "--loglevel", "ERROR"]
    command += ["--mix", "arrivals", "--users", "1", "--seed", str(seed), "--records", str(records)]
    command += ["--arrivals-seconds", str(seconds), "--agent-tokens", _LONG_TOKENS]
    command += ["--short-rate", str(options.short_rate / options.time_scale)]
    command += ["--long-rate", str(options.long_rate / options.time_scale)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"seed {seed} at {url} ended with exit code {done.returncode}:\n{done.stdout[-2000:]}")
    return [json.loads(line) for line in records.read_text().splitlines()]


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def summary(records: Records, scale: float) -> dict[str, Any]:
    """Of one run or of several together, in simulated seconds."""
    found: dict[str, Any] = {}
    for kind in ("short", "long"):
        of_kind = [each for each in records if each["kind"] == kind]
        firsts = [each["ttft"] / scale for each in of_kind]
        gaps = [gap / scale for each in of_kind for gap in each["gaps"]]
        found[kind] = {
            "requests": len(of_kind),
            "prompt_tokens": percentile([each["prompt_tokens"] for each in of_kind], 0.5),
            "ttft_p50": percentile(firsts, 0.5),
            "ttft_p99": percentile(firsts, 0.99),
            "between_chunks_p50": percentile(gaps, 0.5),
            "between_chunks_p99": percentile(gaps, 0.99),
        }
    found["late_p99_real_seconds"] = percentile([each["late"] for each in records], 0.99)
    return found


def busy() -> tuple[int, int]:
    """Ticks of the whole machine since it started: idle, or spent on processes that give way (nice); and all."""
    ticks = [int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    _, nice, _, idle, waiting, *_ = ticks
    return nice + idle + waiting, sum(ticks)


def measured(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {setup: [] for setup in SETUPS}
    pooled: dict[str, Records] = {setup: [] for setup in SETUPS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        console.print(f"starting {_SERVERS} simulated model servers and two gateways")
        with gateways(folder, options.time_scale) as urls:
            # Connections and estimates of lengths are there when it counts.
            for url in urls.values() if options.warm_up else ():
                arrivals(url, 0, options.warm_up, options, folder)
            for seed in range(1, options.seeds + 1):
                for setup in SETUPS if seed % 2 else reversed(SETUPS):
                    console.print(
                        f"seed {seed} of {options.seeds}, {setup}: {options.seconds:g} s and the last answers"
                    )
                    before = busy()
                    records = arrivals(urls[setup], seed, options.seconds, options, folder)
                    idle, ticks = (now - then for now, then in zip(busy(), before, strict=True))
                    found = summary(records, options.time_scale)
                    runs[setup].append({"seed": seed, "machine_free": idle / ticks, **found})
                    pooled[setup] += records
    return {
        "settings": settings(options),
        "versions": versions(),
        "setups": {
            setup: {"together": summary(pooled[setup], options.time_scale), "seeds": runs[setup]} for setup in SETUPS
        },
    }


def settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "simulated": f"all {_SERVERS} model servers: preset {_PRESET}, computed, not measured; no prefix cache",
        "servers_split": {"short": _SHORT_SERVERS, "long": _SERVERS - _SHORT_SERVERS},
        "threshold": _THRESHOLD,
        "long_tokens": _LONG_TOKENS,
        "time_scale": options.time_scale,
        "real_seconds_a_run": options.seconds,
        "real_seconds_before_it": options.warm_up,
        "arrivals_a_simulated_second": {"short": options.short_rate, "long": options.long_rate},
        "times": "simulated seconds",
    }


def versions() -> dict[str, str]:
    code = "from importlib.metadata import version; print(version('locust'), version('matplotlib'))"
    told = subprocess.run([LOCUST.parent / "python", "-c", code], capture_output=True, text=True, check=True)
    locust, matplotlib = told.stdout.split()
    return {
        "yardstick": version("yardstick"),
        "locust": locust,
        "matplotlib": matplotlib,
        "python": platform.python_version(),
    }


def doubts(result: dict[str, Any]) -> list[str]:
    """Why the figures might be the machine's rather than the set-ups'."""
    found = []
    for setup in SETUPS:
        for run in result["setups"][setup]["seeds"]:
            if run["machine_free"] < _LEAST_FREE:
                found.append(f"{setup}, seed {run['seed']}: only {run['machine_free']:.0%} of the machine was left")
            if run["late_p99_real_seconds"] > _LARGEST_LATENESS:
                late = 1000 * run["late_p99_real_seconds"]
                found.append(f"{setup}, seed {run['seed']}: one request in a hundred was sent {late:.0f} ms late")
    return found


def table(result: dict[str, Any]) -> Table:
    shown = Table("simulated seconds", "n", "TTFT p50", "p99", "between chunks p50", "p99")
    for kind in ("short", "long"):
        for setup in SETUPS:
            row = result["setups"][setup]["together"][kind]
            cells = [row[key] for key in ("ttft_p50", "ttft_p99", "between_chunks_p50", "between_chunks_p99")]
            shown.add_row(f"{kind}, {setup}", str(row["requests"]), *(f"{value:.3f}" for value in cells))
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=90.0, help="real ones in which requests arrive, for each run")
    parser.add_argument(
        "--warm-up", type=float, default=5.0, help="real seconds of arrivals that do not count, before it"
    )
    parser.add_argument("--short-rate", type=float, default=4.0, help="short prompts in a simulated second")
    parser.add_argument("--long-rate", type=float, default=0.27, help="long prompts in a simulated second")
    parser.add_argument("--time-scale", type=float, default=0.5, help="real seconds for a simulated one")
    parser.add_argument("--output", type=Path, default=RESULT, help="the plot gets the same name, as .svg")
    parser.add_argument("--json", action="store_true", help="print the result instead of a table")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    if not LOCUST.exists():
        console.print(f"{LOCUST} is missing: `make load-comparison` installs it")
        return 2
    try:
        result = measured(options, console)
    except NotReady as error:
        console.print(str(error), markup=False)
        return 2
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    subprocess.run([LOCUST.parent / "python", "-m", "loadtests.plot", str(options.output)], cwd=ROOT, check=True)
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        console.print(table(result))
    found = doubts(result)
    for doubt in found:
        console.print(f"doubtful: {doubt}", markup=False)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
