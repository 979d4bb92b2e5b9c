"""The model servers' manifests are what `yardstick` says today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from deploy.k8s import engines
from gateway.cli import main as yardstick
from tests.deploy.manifests.objects import Manifests
from tests.deploy.manifests.quantities import quantity

GIB = 2**30


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    return engines.generated()


def test_generated_files_are_what_would_be_generated(expected: dict[str, str]) -> None:
    assert {path.name: path.read_text() for path in engines.GENERATED.iterdir()} == expected


def test_a_changed_setting_is_noticed(expected: dict[str, str], tmp_path: Path) -> None:
    document = yaml.safe_load(engines.CONFIG.read_text())
    document["pools"][0]["engine"] |= {"max_num_seqs": 64, "revision": "abc"}
    config = tmp_path / "yardstick.yaml"
    config.write_text(yaml.safe_dump(document))
    changed = engines.generated(config)
    assert changed.keys() == expected.keys()
    assert [name for name in changed if changed[name] != expected[name]] == ["codegeex.yaml"]
    pod = yaml.safe_load(changed["codegeex.yaml"])["spec"]["template"]["spec"]
    assert pod["initContainers"][0]["args"][1:] == ["abc"]
    assert "64" in pod["containers"][0]["args"]


def _yardstick(*arguments: str) -> dict[str, list[dict[str, Any]]]:
    run = CliRunner().invoke(yardstick, arguments)
    assert run.exit_code == 0, run.output
    found: dict[str, list[dict[str, Any]]] = json.loads(run.stdout)
    return found


def test_the_rendered_pods_have_these_arguments_and_the_plans_resources(manifests: Manifests, tmp_path: Path) -> None:
    """Compared with the commands' own output again, past the generator: patches could have been put in wrongly."""
    servers = {pod.owner["metadata"]["name"]: pod for pod in manifests.component("model-server")}
    assert len(servers) == len(manifests.config().pools)
    config = tmp_path / "yardstick.yaml"
    config.write_text(engines.CONFIG.read_text().replace("api_key_file:", "# "))
    for pool in manifests.config().pools:
        pod = servers[engines.pool_name(pool.endpoints[0].url)]
        said = ("--config", str(config), "--files", engines.FILES)
        (server,) = _yardstick("engine", "vllm", "--dry-run", "--json", "--model", pool.model, *said)["servers"]
        assert [*pod.main["command"], *pod.main["args"]] == ["vllm", *server["arguments"]]
        environment = {entry["name"]: entry.get("value") for entry in pod.main["env"]}
        assert server["environment"].items() <= environment.items()
        keys = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in pod.main["env"] if "valueFrom" in entry}
        gateways = {entry["name"]: entry.get("valueFrom") for entry in manifests.gateway().main["env"]}
        for name, variable in server["secrets"].items():
            assert keys[name] == gateways[variable]["secretKeyRef"]

        size = str(server["gpus"])
        plans = _yardstick(
            "engine", "plan", "--json", "--gpu", "h100", "--model", pool.model, "--tensor-parallel", size
        )
        (plan,) = plans["plans"]
        assert plan["fits"] is True
        assert plan["window"] == pool.window
        resources = pod.main["resources"]
        assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == size
        for which in ("requests", "limits"):
            assert 0 <= quantity(resources[which]["memory"]) - plan["host_memory"] < GIB
        weights = plan["weights"] * plan["tensor_parallel"]
        (claim,) = [volume["claim"] for volume in pod.volumes.values() if "claim" in volume]
        assert quantity(claim["resources"]["requests"]["storage"]) > 1.2 * weights
        assert pod.spec["initContainers"][0]["args"] == server["arguments"][1:2]


def test_the_processes_of_one_server_can_share_memory(manifests: Manifests) -> None:
    for pod in manifests.component("model-server"):
        mounts = {mount["mountPath"]: mount["name"] for mount in pod.main["volumeMounts"]}
        assert pod.volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
