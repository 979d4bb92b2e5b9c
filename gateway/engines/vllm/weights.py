"""Whether a server's weights are there, as far as that can be told without the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gateway.engines.vllm.command import Launch
from gateway.engines.vllm.finding import Finding
from gateway.engines.vllm.options import server_environment

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_TRUE = frozenset({"1", "on", "yes", "true"})


def weights_findings(launch: Launch) -> Iterator[Finding]:
    """The weights are the argument behind ``serve``: a folder if there is one of that name, else a hub id."""
    named = launch.arguments[1]
    folder = Path(named)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            yield Finding(
                f"{launch.model}: {named} holds no config.json, so no checkpoint of transformers' format is in it: name"
                " the folder that has config.json and the *.safetensors files with --weights"
            )
    elif folder.is_file():
        yield Finding(f"{launch.model}: {named} is a file: name the folder that it is in with --weights")
    elif not _HUB_ID.fullmatch(named):
        yield Finding(
            f"{launch.model}: there is no folder {named}: name the one that has its config.json, or a hub id, with"
            " --weights"
        )
    elif _is_offline(launch) and not _is_cached(launch, named):
        yield Finding(
            f"{launch.model}: HF_HUB_OFFLINE is set and {named} is not in {_hub_cache(launch)}: unset it to fetch the"
            " weights, or name a folder that has them with --weights"
        )


def _is_offline(launch: Launch) -> bool:
    said = server_environment(launch, "HF_HUB_OFFLINE") or server_environment(launch, "TRANSFORMERS_OFFLINE")
    return said is not None and said.lower() in _TRUE


def _is_cached(launch: Launch, hub_id: str) -> bool:
    folder = _hub_cache(launch) / f"models--{hub_id.replace('/', '--')}" / "snapshots"
    return any(folder.glob("*/config.json"))


def _hub_cache(launch: Launch) -> Path:
    """As huggingface_hub finds it."""
    if named := server_environment(launch, "HF_HUB_CACHE"):
        return Path(named).expanduser()
    if home := server_environment(launch, "HF_HOME"):
        return Path(home).expanduser() / "hub"
    cache = server_environment(launch, "XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "huggingface" / "hub"
