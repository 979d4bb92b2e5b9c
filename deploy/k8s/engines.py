"""Writes what the manifests of the model servers have from `yardstick`: python -m deploy.k8s.engines [--check]

For each pool of the gateway's configuration (`base/gateway/yardstick.yaml`) into `base/pools/generated/`: a patch of
its StatefulSet with vLLM's arguments and environment (`yardstick engine vllm --dry-run --json`) and with GPUs and
memory (`yardstick engine plan --json`), and the files that a start would write. `--check` writes nothing, and ends with
1 if what is there is not what would be written.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from gateway.cli import main as yardstick

HERE = Path(__file__).parent
CONFIG = HERE / "base/gateway/yardstick.yaml"
GENERATED = HERE / "base/pools/generated"
FILES = "/etc/vllm"  # where the servers find chat templates and tool parsers
GPU = "h100"  # which the memory is planned for; the host's share hangs on the number of GPUs alone
GIB = 1024**3
_HEADER = "# Written by `python -m deploy.k8s.engines`: change ../../gateway/yardstick.yaml and run it again.\n"


def generated(config: Path = CONFIG) -> dict[str, str]:
    """Names and contents of all files. Raises click's exceptions where `yardstick` refuses, with its reason."""
    files: dict[str, str] = {}
    for pool in yaml.safe_load(config.read_text())["pools"]:
        name, server = pool_name(pool["endpoints"][0]["url"]), _launch(config, pool["model"])
        files |= {Path(path).name: text for path, text in server["files"].items()}
        files[f"{name}.yaml"] = _HEADER + _yaml(_patch(name, server, _plan(server)))
    return files


def _launch(config: Path, model: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / config.name
        settings = yaml.safe_load(config.read_text())
        settings.pop("api_key_file", None)  # in the pods there is one
        path.write_text(yaml.safe_dump(settings))
        said = _yardstick(
            "engine", "vllm", "--dry-run", "--json", "--model", model, "--config", str(path), "--files", FILES
        )
    (server,) = said["servers"]
    found: dict[str, Any] = server
    return found


def pool_name(url: str) -> str:
    """Of ``http://codegeex-0.codegeex:8000``, a server's own name, the StatefulSet's and its Service's: codegeex."""
    return (urlsplit(url).hostname or "").split(".")[1]


def _plan(server: Mapping[str, Any]) -> dict[str, Any]:
    (fit,) = _yardstick(
        *("engine", "plan", "--json", "--gpu", GPU, "--model", server["model"]),
        *("--tensor-parallel", flag(server, "--tensor-parallel-size"), "--window", flag(server, "--max-model-len")),
        *("--max-num-batched-tokens", flag(server, "--max-num-batched-tokens")),
        *("--gpu-memory-utilization", flag(server, "--gpu-memory-utilization")),
        *("--kv-cache-dtype", flag(server, "--kv-cache-dtype")),
    )["plans"]
    found: dict[str, Any] = fit
    return found


def flag(server: Mapping[str, Any], name: str) -> str:
    arguments: list[str] = server["arguments"]
    return arguments[arguments.index(name) + 1]


def _patch(name: str, server: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    arguments: list[str] = server["arguments"]
    weights = [arguments[1]]
    if "--revision" in arguments:
        weights.append(flag(server, "--revision"))
    container = {
        "name": "vllm",
        "args": arguments,
        "env": [*_environment(server), *_secrets(server)],
        "resources": _resources(server["gpus"], plan["host_memory"]),
    }
    pod = {"initContainers": [{"name": "weights", "args": weights}], "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": "yardstick"},
        "spec": {"template": {"spec": pod}},
    }


def _environment(server: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in server["environment"].items()]


def _secrets(server: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The servers' key is the one that the gateway has in its own variable; both are from one Secret."""
    source = {"secretKeyRef": {"name": "engine-key", "key": "key"}}
    return [{"name": name, "valueFrom": source} for name in server["secrets"]]


def _resources(gpus: int, memory: int) -> dict[str, Any]:
    """A core for each GPU's worker, one for the engine and one for the API server, which all may be busy at once."""
    cpus, gibibytes = 2 + gpus, -(-memory // GIB)
    common = {"memory": f"{gibibytes}Gi", "nvidia.com/gpu": str(gpus)}
    return {"requests": {"cpu": str(cpus), **common}, "limits": {"cpu": str(2 * cpus), **common}}


def _yardstick(*arguments: str) -> dict[str, Any]:
    """What the command prints. Raises click's own exceptions, whose message says what it refuses."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        yardstick(list(arguments), standalone_mode=False)
    found: dict[str, Any] = json.loads(printed.getvalue())
    return found


class _Plain(yaml.SafeDumper):
    """Without anchors: the same value twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, width=120)


def main() -> int:
    expected = generated()
    there = {path.name: path.read_text() for path in GENERATED.iterdir()} if GENERATED.exists() else {}
    changed = sorted(name for name in expected.keys() | there.keys() if expected.get(name) != there.get(name))
    if "--check" in sys.argv[1:]:
        for name in changed:
            print(f"{GENERATED / name} is not what `python -m deploy.k8s.engines` writes")
        return 1 if changed else 0
    GENERATED.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in expected:
            (GENERATED / name).write_text(expected[name])
        else:
            (GENERATED / name).unlink()
    print(f"{len(expected)} files in {GENERATED}, {len(changed)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
