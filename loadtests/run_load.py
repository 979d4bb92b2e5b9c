"""`make load`: two simulated model servers, the gateway, and people who use it; then an HTML report.

`python -m loadtests.run_load [--users N] [--time 60s] [--mix team] [--shape steady] [--target http://...]`. With a
target nothing is started. Exit code 0: every answer had the right content, and no more requests failed than
`--most-failed` allows.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtests.servers import NotReady, Server, processes

ROOT = Path(__file__).parents[1]
LOCUST = ROOT / ".load" / "bin" / "locust"
LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
SHORT, LONG = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"
_TIME_SCALE = "0.25"
_STOP_SECONDS = "120"  # for answers under way when the time is over


@contextlib.contextmanager
def demo(folder: Path) -> Iterator[str]:
    """The gateway's address, in front of a simulated server for each model. Raises NotReady."""
    with processes(folder) as started:
        say("starting two simulated model servers (the first time they train a tokenizer: 10 s) and the gateway")
        urls = {
            model: started.model_server(Server(model, ("--max-model-len", window, "--time-scale", _TIME_SCALE)))
            for model, window in ((SHORT, "32768"), (LONG, "131072"))
        }
        gateway = started.gateway({model: [url] for model, url in urls.items()})
        say(f"gateway: {gateway}; simulated model servers: {', '.join(urls.values())}, {_TIME_SCALE} s a second")
        yield gateway


def locust(target: str, options: argparse.Namespace, folder: Path) -> list[str]:
    command = [str(LOCUST), "-f", str(LOCUSTFILE), "--host", target, "--headless", "--only-summary"]
    command += ["--users", str(options.users), "--spawn-rate", str(options.users), "--run-time", options.time]
    command += ["--stop-timeout", _STOP_SECONDS, "--loglevel", "WARNING"]
    command += ["--html", str(folder / "report.html"), "--csv", str(folder / "load"), "--csv-full-history"]
    for name in ("mix", "shape", "model", "expect", "tasks", "pace", "agent_tokens", "most_failed", "seed"):
        value = getattr(options, name)
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return [*command, *options.more]


def run(options: argparse.Namespace) -> int:
    folder = options.folder or Path(tempfile.mkdtemp(prefix="yardstick-load-"))
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        target = options.target or stack.enter_context(demo(folder))
        if not options.target and options.expect is None:
            options.expect = f"ide={SHORT},agent={LONG},task={SHORT}"
        say(f"{options.users} users, mix {options.mix or 'team'}, {options.time} and until the last answers are there")
        with subprocess.Popen(locust(target, options, folder), cwd=ROOT) as process:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                code = process.wait()  # it has the signal too, and ends with its report
    report = folder / "report.html"
    if report.exists():
        charted = subprocess.run(
            [LOCUST.parent / "python", "-m", "loadtests.charts", str(folder)], cwd=ROOT, check=False
        )
        code = code or charted.returncode
        say(f"report: {report}")
    return code


def say(text: str) -> None:
    print(f"load: {text}", flush=True)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--time", default="60s", help="as locust takes it: 60s, 10m (default: %(default)s)")
    parser.add_argument("--target", help="an OpenAI-compatible address; default: demo servers of its own")
    parser.add_argument("--folder", type=Path, help="for the report; default: a new one")
    for name in ("mix", "shape", "model", "expect", "tasks", "pace", "agent-tokens", "most-failed", "seed"):
        parser.add_argument(f"--{name}", help="see loadtests/README.md")
    parser.add_argument("more", nargs="*", help="after --: further options of locust")
    return parser.parse_args(arguments)


def main() -> int:
    options = parsed(sys.argv[1:])
    if not LOCUST.exists():
        say(f"{LOCUST} is missing: `make load` installs it")
        return 2
    try:
        return run(options)
    except NotReady as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
