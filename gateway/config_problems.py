"""What is wrong with a configuration whose every value is well-formed: names without a pool, files, variables, binding.

A finding names the setting by its path in the tree (``("pools", 0, "tokenizer")``); config_file.py turns that into a
line and a column.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.config import AUTO, Config, EndpointSettings, PoolSettings, environment
from gateway.families import MODELS
from gateway.keys import KeyFileError, Keys

SettingPath = tuple[str | int, ...]
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Finding:
    path: SettingPath
    message: str
    severity: Literal["error", "warning"] = "error"


def findings(config: Config) -> Iterator[Finding]:
    """Everything that would keep this configuration from working, and what is only doubtful (warnings)."""
    yield from _pools(config)
    yield from _routing(config)
    yield from _aliases(config)
    yield from _keep_alive(config)
    if config.api_key_file is not None:
        yield from _key_file(config.api_key_file)


def missing_keys(config: Config) -> Iterator[Finding]:
    """What has to be in the environment before an endpoint is asked for anything."""
    for index, pool in enumerate(config.pools):
        for number, endpoint in enumerate(pool.endpoints):
            name = endpoint.api_key_env
            if name is not None and VARIABLE.fullmatch(name) and environment(name) is None:
                yield Finding(
                    ("pools", index, "endpoints", number, "api_key_env"),
                    f"the environment variable {name} is not set: export it with the API key of {endpoint.url}",
                )


def binding(config: Config) -> Iterator[Finding]:
    """Without clients' keys only loopback may be bound. Resolves ``host`` if it is a name."""
    if config.api_key_file is not None:
        return
    try:
        exposed = not is_loopback(config.host)
    except OSError as error:
        yield Finding(
            ("host",), f"{config.host!r} cannot be resolved: {error.strerror}. Use an address of this machine"
        )
        return
    if exposed:
        yield Finding(
            ("host",),
            f"{config.host or 'an empty host'} can be reached from other machines, and no keys are asked for. Either"
            " make keys (`yardstick keys new NAME --file keys`) and give --api-key-file keys (in the file:"
            " api_key_file), or listen on 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """Whether a listener on ``host`` is reachable from this machine only. Raises OSError for an unknown name."""
    if not host:
        return False
    addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses)


def is_tokenizer_path(tokenizer: str) -> bool:
    """A tokenizer is a path if it is written like one; else (``org/name``) it is a hub id."""
    ends, starts = (".json", ".json.gz"), ("/", ".", "~")
    return tokenizer.endswith(ends) or tokenizer.startswith(starts) or tokenizer.count("/") != 1


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or nothing if no known name is near."""
    names = list(known)
    # Somebody who writes the beginning of a name means that name, not one of about the same length.
    near = [known for known in names if known.startswith(name)] or difflib.get_close_matches(name, names, 1, 0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _pools(config: Config) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, pool in enumerate(config.pools):
        if pool.model in seen:
            message = f"a second pool for {pool.model!r}: list all its endpoints in one pool"
            yield Finding(("pools", index, "model"), message)
        if pool.model not in MODELS:
            yield Finding(("pools", index, "model"), _unknown_model(pool.model))
        seen.add(pool.model)
        yield from _endpoints(index, pool)
        if pool.tokenizer is not None and is_tokenizer_path(pool.tokenizer):
            reason = _unreadable(Path(pool.tokenizer))
            if reason:
                message = f"the tokenizer file {pool.tokenizer} cannot be read: {reason}"
                yield Finding(("pools", index, "tokenizer"), message)


def _unknown_model(name: str) -> str:
    if name == AUTO:
        return f"{AUTO!r} is what asks the gateway to choose: name the model"
    return (
        f"{name!r} is none of the models known here{did_you_mean(name, MODELS)}: {', '.join(MODELS)}."
        " If a server has another name for one of them, keep the known name here; served_name is for the server's"
    )


def _endpoints(index: int, pool: PoolSettings) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, endpoint in enumerate(pool.endpoints):
        path = ("pools", index, "endpoints", number)
        if endpoint.base_url in seen:
            yield Finding((*path, "url"), f"{endpoint.url} is in this pool twice: drop one")
        seen.add(endpoint.base_url)
        yield from _key_variable((*path, "api_key_env"), endpoint)


def _key_variable(path: SettingPath, endpoint: EndpointSettings) -> Iterator[Finding]:
    if endpoint.api_key_env is not None and not VARIABLE.fullmatch(endpoint.api_key_env):
        # Not quoted: it may be the key itself.
        yield Finding(path, "this is no name of an environment variable. Name the variable here, never the key itself")


def _routing(config: Config) -> Iterator[Finding]:
    windows = {pool.model: pool.window for pool in config.pools}
    if not windows.keys() <= MODELS.keys():
        return  # once the models are named right, the routes may be too
    for role in ("short", "long"):
        model: str = getattr(config.routing, role)
        if model not in windows:
            known = ", ".join(windows)
            hint = did_you_mean(model, windows)
            message = f"no pool serves {model!r}{hint}: set routing.{role} to one of {known}, or add its pool"
            yield Finding(("routing", role), message)
        elif MODELS[model].chat_template is None:
            message = f"{model} is a base model: of what asks for `auto` it gets no chats, and no gaps to fill in"
            yield Finding(("routing", role), message, "warning")
    window = windows.get(config.routing.short)
    if window is not None and config.routing.threshold > window:
        message = (
            f"the threshold is above the short model's window, {window}: longer prompts go to the long model anyway"
        )
        yield Finding(("routing", "threshold"), message, "warning")


def _aliases(config: Config) -> Iterator[Finding]:
    models = [AUTO, *(pool.model for pool in config.pools)]
    for name, target in config.aliases.items():
        if name in models:
            yield Finding(("aliases", name), f"{name!r} is a model already: an alias needs a name of its own")
        if target not in models:
            hint = did_you_mean(target, models)
            message = f"no pool serves {target!r}{hint}: an alias stands for one of {', '.join(models)}"
            yield Finding(("aliases", name), message)


def _keep_alive(config: Config) -> Iterator[Finding]:
    """A server that closes an idle connection first may close it just when the gateway sends on it."""
    idle = config.timeouts.upstream_idle
    for index, pool in enumerate(config.pools):
        if pool.engine is not None and pool.engine.keep_alive <= idle:
            message = (
                f"has to be above timeouts.upstream_idle, {idle:g} s: the gateway must close idle connections first"
            )
            yield Finding(("pools", index, "engine", "keep_alive"), message)


def _key_file(path: str) -> Iterator[Finding]:
    try:
        Keys.load(Path(path))
    except KeyFileError as error:
        yield Finding(("api_key_file",), str(error))


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return error.strerror or str(error)
