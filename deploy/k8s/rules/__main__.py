"""Write `prometheusrule.yaml` from the plain rules beside it, or with --check say whether it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

HERE = Path(__file__).parent
MADE = HERE / "prometheusrule.yaml"


def plain() -> Iterator[Path]:
    """The files that Prometheus itself reads."""
    return iter(sorted(HERE.glob("*.rules.yaml")))


def rendered() -> str:
    groups: list[Any] = [group for path in plain() for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "yardstick", "labels": {"app.kubernetes.io/name": "yardstick"}},
        "spec": {"groups": groups},
    }
    head = "# Made by `python -m deploy.k8s.rules` from the *.rules.yaml beside it: change those.\n"
    return head + yaml.safe_dump(resource, sort_keys=False, width=1000)


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if the file is not up to date.")
def main(check: bool) -> None:
    wanted = rendered()
    same = MADE.is_file() and MADE.read_text("utf-8") == wanted
    if check:
        if not same:
            click.echo(f"{MADE} is not what the rules say; write it again with: python -m deploy.k8s.rules", err=True)
        sys.exit(not same)
    MADE.write_text(wanted, encoding="utf-8")
    click.echo(f"{'unchanged:' if same else 'wrote'} {MADE}")


if __name__ == "__main__":
    main()
