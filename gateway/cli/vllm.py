"""`yardstick engine vllm`: vLLM servers of a model, or the commands that would start them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr, ValidationError

from gateway.cli.options import EXISTING_FILE, loaded_config
from gateway.cli.vllm_run import patience_options, start
from gateway.config import PoolSettings, cache_dir, environment
from gateway.config_engine import EngineSettings
from gateway.config_file import Flags
from gateway.config_problems import VARIABLE, did_you_mean, is_loopback
from gateway.families import MODELS, Model

if TYPE_CHECKING:
    from gateway.engines.vllm.command import Launch

_DEFAULT_PORT = 8000
_VLLM_KEY = "VLLM_API_KEY"
_GPU = re.compile(r"[0-9]{1,3}")

_EXAMPLES = """\b
Examples:
  yardstick engine vllm --model iquest-coder-v1-40b-loop-instruct --gpus 0-3 --port 8000
  yardstick engine vllm --model codegeex4-all-9b --gpus 4-7 --port 8001     (four servers)
  yardstick engine vllm --model codegeex4-all-9b --config yardstick.yaml
  yardstick engine vllm --model codegeex4-all-9b --tiny                     (on a CPU; make vllm-cpu)
  yardstick engine vllm --model codegeex4-all-9b --dry-run -- --enable-log-requests
"""


def _gpu_list(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """``0-3,6``: numbers and ranges, as nvidia-smi counts."""
    if value is None:
        return None
    gpus: list[int] = []
    for part in value.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (_GPU.fullmatch(first) and _GPU.fullmatch(last)) or int(first) > int(last):
            raise click.BadParameter(f"{value!r} is no list of GPUs: write numbers and ranges, such as 0-3,6")
        gpus += range(int(first), int(last) + 1)
    return tuple(gpus)


@click.command(epilog=_EXAMPLES)
@click.option("--model", "model_name", required=True, metavar="MODEL", help="The model that it serves.")
@click.option("--config", "config_path", type=EXISTING_FILE, help="YAML file: the `engine` of the model's pool.")
@click.option(
    "--tensor-parallel",
    "tensor_parallel_size",
    type=click.IntRange(min=1),
    help="GPUs (--tiny: processes) of one server.",
)
@click.option("--gpus", callback=_gpu_list, metavar="0-3,6", help="GPUs to use; as many servers as they suffice for.")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the first server (default 8000); others count on.")
@click.option("--weights", metavar="FOLDER|HUB_ID", help="Where its weights are; default: the makers' hub id.")
@click.option("--window", type=click.IntRange(min=1), help="Tokens of prompt and output together.")
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the key it asks for.")
@click.option("--vllm", "vllm_path", type=EXISTING_FILE, help="The vllm command; default: $YARDSTICK_VLLM, or on PATH.")
@click.option("--tiny", is_flag=True, help="On the CPU, a tiny checkpoint of the model's architecture.")
@click.option("--dry-run", is_flag=True, help="Print the commands, and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: all of it as JSON; else a line for each event.")
@click.option(
    "--files",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for chat template and tool parser; default: in the cache folder.",
)
@patience_options
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[-- VLLM_FLAGS...]")
def vllm(
    model_name: str,
    config_path: Path | None,
    window: int | None,
    api_key_env: str | None,
    vllm_path: Path | None,
    tiny: bool,
    dry_run: bool,
    as_json: bool,
    folder: Path | None,
    start_timeout: float,
    max_restarts: int,
    flags: tuple[str, ...],
    **settings_given: Any,
) -> None:
    """Run vLLM servers of MODEL until they are told to end, or print how they would be started.

    What stands behind `--` is passed on to `vllm serve`, after all else.

    A server that crashes is restarted, after 1 s and then ever longer pauses. SIGTERM and Ctrl-C let vLLM complete the
    answers under way (shutdown_timeout, 600 s); a second one ends everything at once.

    Exit codes: 0 ended as asked; 1 ended at once, or not in time; 2 wrong usage; 3 nothing was started, because
    something stands in the way; 4 a server did not become ready; 5 a server crashed too often (others went on).
    """
    given = {name: value for name, value in settings_given.items() if value is not None}
    if tiny and not given.keys().isdisjoint({"gpus", "weights"}):
        raise click.UsageError("--tiny runs on the CPU, on a checkpoint of its own: leave out --gpus and --weights")
    model = _model(model_name)
    pool = _pool(config_path, model)
    settings = _settings(pool, given, flags, tiny)
    variable, api_key = _api_key(pool, api_key_env, dry_run)
    launches = _launches(
        model,
        settings,
        first_port=settings.port or _port_of(pool) or _DEFAULT_PORT,
        window=window or (pool.window if pool else None),
        weights=str(_checkpoint(model)) if tiny else None,
        tiny=tiny,
        api_key=api_key,
        folder=folder or cache_dir() / "vllm",
    )
    if not variable and api_key is None:
        _warn_if_exposed(settings.host)
    if pool is not None:
        _warn_if_elsewhere(pool, launches)
    if dry_run:
        (_print_json if as_json else _print_lines)(launches, vllm_path, variable)
        return
    start(
        launches,
        vllm_path,
        start_timeout=start_timeout,
        max_restarts=max_restarts,
        key_variable=variable,
        as_json=as_json,
    )


def _model(name: str) -> Model:
    """By its name, or by the name that its makers gave it."""
    model = MODELS.get(name) or MODELS.get(name.rpartition("/")[2].lower())
    if model is None:
        known = "\n  ".join(MODELS)
        raise click.UsageError(f"no model is called {name!r}{did_you_mean(name, MODELS)}. There are:\n  {known}")
    return model


def _pool(config_path: Path | None, model: Model) -> PoolSettings | None:
    if config_path is None:
        return None
    pools = loaded_config(config_path, Flags(), to_serve=False).pools
    for pool in pools:
        if pool.model == model.name:
            return pool
    listed = ", ".join(pool.model for pool in pools)
    raise click.ClickException(
        f"{config_path} has no pool of {model.name}, only of {listed}: add one, or leave out --config"
    )


def _settings(pool: PoolSettings | None, given: dict[str, Any], flags: Sequence[str], tiny: bool) -> EngineSettings:
    """The pool's, with what the command line says. Of a tiny server's, nothing that is about the real one's machine."""
    if flags and not flags[0].startswith("-"):
        raise click.UsageError(f"{flags[0]!r} belongs to no option. vLLM's own flags go behind --")
    base = (pool and pool.engine) or EngineSettings()
    if tiny:
        given = {"weights": None, "revision": None, "gpus": (), "tensor_parallel_size": None} | given
    settings = base.model_dump() | given | {"flags": (*base.flags, *flags)}
    try:
        return EngineSettings.model_validate(settings)
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, d['loc']))}: {d['msg'].removeprefix('Value error, ')}" for d in error.errors())
        raise click.UsageError("; ".join(reasons)) from None


def _port_of(pool: PoolSettings | None) -> int | None:
    """Where the gateway expects the first of the pool's servers."""
    return pool.endpoints[0].port if pool else None


def _api_key(pool: PoolSettings | None, api_key_env: str | None, dry_run: bool) -> tuple[str | None, SecretStr | None]:
    """The variable that holds the key, and the key. By default what the gateway sends to the pool's first endpoint."""
    endpoint = pool.endpoints[0] if pool else None
    if api_key_env is None and endpoint is not None:
        if endpoint.api_key is not None:
            return None, endpoint.api_key
        api_key_env = endpoint.api_key_env
    if api_key_env is None and environment(_VLLM_KEY) is not None:
        api_key_env = _VLLM_KEY  # vLLM would find it there in any case
    if api_key_env is not None and not VARIABLE.fullmatch(api_key_env):
        # Not quoted: it may be the key itself.
        raise click.UsageError("--api-key-env is no name of an environment variable: name the variable, never the key")
    if api_key_env is None or dry_run:
        return api_key_env, None
    key = environment(api_key_env)
    if key is None:
        raise click.ClickException(f"the environment variable {api_key_env} is not set: export it with the API key")
    return api_key_env, SecretStr(key)


def _checkpoint(model: Model) -> Path:
    from gateway.engines.vllm.tiny import make

    try:
        return make(model, cache_dir() / "tiny")
    except OSError as error:
        hint = "set XDG_CACHE_HOME to a folder that can be written"
        raise click.ClickException(f"{error.filename} cannot be written: {error.strerror}; {hint}") from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _launches(model: Model, settings: EngineSettings, *, first_port: int, **how: Any) -> list[Launch]:
    from gateway.engines.vllm.command import LaunchError, groups, launch, server_size

    try:
        divided = groups(settings.gpus, server_size(model, settings, tiny=how["tiny"]))
        if first_port + len(divided) > 65_536:
            raise click.UsageError(f"{len(divided)} ports from {first_port} on do not exist: choose a lower --port")
        return [
            launch(model, settings, host=settings.host, port=first_port + index, gpus=gpus, **how)
            for index, gpus in enumerate(divided)
        ]
    except LaunchError as error:
        raise click.UsageError(str(error)) from None


def _warn_if_exposed(host: str) -> None:
    try:
        exposed = not is_loopback(host)
    except OSError:
        return  # whether the address exists is checked at a start
    if exposed:
        click.echo(f"warning: whoever reaches {host} can use the model: no key is asked for (--api-key-env)", err=True)


def _warn_if_elsewhere(pool: PoolSettings, launches: Sequence[Launch]) -> None:
    """Servers that the gateway of this configuration would not find. Behind a proxy, or in a pod, they may be right."""
    expected = {endpoint.port for endpoint in pool.endpoints}
    unknown = [str(one.port) for one in launches if one.port not in expected]
    if unknown:
        ports = f"port {unknown[0]}" if len(unknown) == 1 else f"ports {', '.join(unknown)}"
        click.echo(f"warning: no endpoint of {pool.model} in the configuration has {ports}", err=True)


def _print_lines(launches: Sequence[Launch], vllm_path: Path | None, variable: str | None) -> None:
    from gateway.engines.vllm.command import API_KEY, shell_line

    for one in launches:
        secrets = {API_KEY: variable or API_KEY} if variable or API_KEY in one.environment else {}
        click.echo(shell_line(one, str(vllm_path or "vllm"), secrets))
    files = dict.fromkeys(path for one in launches for path in one.files)
    if files:
        names = " ".join(shlex.quote(str(path)) for path in files)
        click.echo(f"(a start writes {names}; --json prints what is in them)", err=True)


def _print_json(launches: Sequence[Launch], vllm_path: Path | None, variable: str | None) -> None:
    """``secrets``: which variable of ours holds the value of one of the server's."""
    from gateway.engines.vllm.command import API_KEY

    servers = [
        {
            "model": one.model,
            "host": one.host,
            "port": one.port,
            "gpus": 0 if one.tiny else one.gpus,
            "arguments": list(one.arguments),
            "environment": {name: value for name, value in one.environment.items() if name != API_KEY},
            "secrets": {API_KEY: variable or API_KEY} if variable or API_KEY in one.environment else {},
            "files": {str(path): text for path, text in one.files.items()},
        }
        for one in launches
    ]
    click.echo(json.dumps({"servers": servers}, indent=2, ensure_ascii=False))
