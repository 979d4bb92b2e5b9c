"""What manifests are rendered and checked with: found, or a sentence that says what is missing and how to get it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
K8S = ROOT / "deploy/k8s"
OVERLAYS = ("small", "production")
INSTALLED = ROOT / ".manifests"  # what `make manifests` installs
KUBERNETES = ("1.30", "1.37")  # the oldest that the manifests are for, and the newest whose schemas are installed
Object = dict[str, Any]
_SECONDS = 60


class Missing(Exception):
    """A tool that is not here, or too old: the message says how to get it."""


@cache
def kubectl() -> str:
    """The one in YARDSTICK_KUBECTL, on PATH, or installed by `make manifests`: the first with kustomize 5 or newer."""
    seen = []
    for found in (os.environ.get("YARDSTICK_KUBECTL"), shutil.which("kubectl"), str(INSTALLED / "kubectl/kubectl")):
        if found and Path(found).exists():
            version = _kustomize_version(found)
            if version >= 5:
                return found
            seen.append(f"{found} has kustomize {version}")
    raise Missing(
        f"no kubectl with kustomize 5 or newer ({'; '.join(seen) or 'none found'}). `make manifests` installs one on"
        " x86_64 Linux; elsewhere put one on PATH, or name it in YARDSTICK_KUBECTL"
    )


def _kustomize_version(path: str) -> int:
    """Its major version; 0 if it does not say."""
    run = subprocess.run([path, "version", "--client", "--output=json"], capture_output=True, text=True, check=False)
    try:
        said = json.loads(run.stdout)["kustomizeVersion"]
    except (ValueError, KeyError):
        return 0
    match = re.search(r"v(\d+)\.", said)
    return int(match[1]) if match else 0


def installed(name: str) -> str:
    """A program of the tools' own environment."""
    path = INSTALLED / "bin" / name
    if not path.exists():
        raise Missing(f"{path} is missing: `make manifests` installs it")
    return str(path)


def crds() -> Path | None:
    """The folder with the definitions of custom resources; None where YARDSTICK_TEST_DATA names none."""
    data = os.environ.get("YARDSTICK_TEST_DATA")
    return Path(data) / "crds" if data and (Path(data) / "crds").is_dir() else None


@cache
def rendered_text(folder: Path) -> str:
    """What `kubectl apply -k` would send. Raises CalledProcessError with kustomize's own message."""
    run = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=_SECONDS)
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, run.args, run.stdout, run.stderr)
    return run.stdout


def rendered(overlay: str) -> list[Object]:
    return list(yaml.load_all(rendered_text(K8S / "overlays" / overlay), yaml.CSafeLoader))


def invalid(text: str, versions: Sequence[str] = KUBERNETES, definitions: Path | None = None) -> list[str]:
    """What Kubernetes of these versions, or a custom resource's definition, would refuse in the rendered text."""
    script = Path(__file__).with_name("validate.py")
    command = [installed("python"), str(script), *versions]
    if definitions is not None:
        command += ["--crds", str(definitions)]
    run = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, timeout=_SECONDS)
    if run.returncode not in (0, 1):
        raise subprocess.CalledProcessError(run.returncode, run.args)
    return run.stdout.splitlines()


def checkov(text: str, folder: Path) -> tuple[int, list[str], list[str]]:
    """How many of checkov's checks passed, and a line for each finding and for each that is left out, with its reason.

    One that is left out without a reason is a finding. ``folder``: where the rendered text may be written to.
    """
    (folder / "rendered.yaml").write_text(text)
    command = [installed("checkov"), "--file", str(folder / "rendered.yaml"), "--framework", "kubernetes"]
    command += ["--output", "json", "--skip-download", "--config-file", str(Path(__file__).with_name("checkov.yaml"))]
    environment = {**os.environ, "CHECKOV_RENDER_EDGES_DUPLICATE_ITER_COUNT": "1", "BC_SKIP_MAPPING": "TRUE"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    try:
        report = json.loads(run.stdout)
    except ValueError:
        raise subprocess.CalledProcessError(run.returncode, run.args, run.stdout, run.stderr) from None
    results = report["results"]
    left_out = results["skipped_checks"]
    unexplained = [check for check in left_out if _reason(check) in ("", "No comment provided")]
    failed = [*results["failed_checks"], *unexplained]
    return report["summary"]["passed"], list(_lines(failed)), list(_lines(left_out))


def _lines(checks: Sequence[Object]) -> Iterator[str]:
    for check in checks:
        reason = _reason(check)
        yield f"{check['check_id']} {check['resource']}: {check['check_name']}{f' ({reason})' if reason else ''}"


def _reason(check: Object) -> str:
    return (check["check_result"].get("suppress_comment") or "").strip()
