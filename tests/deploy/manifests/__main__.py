"""Renders and validates every overlay: python -m tests.deploy.manifests. `make manifests` installs the tools first."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.manifests.tools import K8S, KUBERNETES, OVERLAYS, Missing, checkov, crds, invalid, rendered_text


def main() -> int:
    try:
        problems = [problem for overlay in OVERLAYS for problem in check(overlay)]
    except Missing as error:
        print(f"missing: {error}")
        return 1
    except subprocess.CalledProcessError as error:
        print(f"{error.cmd[0]} ended with {error.returncode}:\n{error.stderr or error.stdout or ''}")
        return 1
    print(f"{len(problems)} problems" if problems else "every overlay is valid")
    return 1 if problems else 0


def check(overlay: str) -> Iterator[str]:
    """Says what it does and finds; the problems once more."""
    text = rendered_text(K8S / "overlays" / overlay)
    say(overlay, f"{text.count(chr(10) + '---' + chr(10)) + 1} objects, {len(text.splitlines())} lines")
    definitions = crds()
    found = invalid(text, KUBERNETES, definitions)
    yield from say_all(overlay, f"Kubernetes {' and '.join(KUBERNETES)}, strictly", found)
    if definitions is None:
        say(overlay, "custom resources: not checked, as YARDSTICK_TEST_DATA names no folder with crds/ in it")
    with tempfile.TemporaryDirectory() as folder:
        passed, failed, left_out = checkov(text, Path(folder))
    for line in left_out:
        say(overlay, f"left out: {line}")
    yield from say_all(overlay, f"checkov, {passed} checks passed, {len(left_out)} left out", failed)


def say_all(overlay: str, what: str, problems: list[str]) -> Iterator[str]:
    say(overlay, f"{what}: {f'{len(problems)} problems' if problems else 'fine'}")
    for problem in problems:
        say(overlay, f"  {problem}")
        yield problem


def say(overlay: str, line: str) -> None:
    print(f"{overlay}: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
