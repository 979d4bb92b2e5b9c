"""Write the dashboards to `json/`, or with --check say which of the files there are not what would be written."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.k8s.dashboards import engines, overview, routing, shadow

FOLDER = Path(__file__).parent / "json"


def rendered() -> dict[str, str]:
    """File name -> what stands in it; always the same bytes for the same code."""
    built = {module.__name__.rpartition(".")[2]: module.dashboard() for module in (overview, routing, engines, shadow)}
    return {
        f"yardstick-{name}.json": json.dumps(each, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, each in built.items()
    }


def outdated(wanted: Mapping[str, str], folder: Path) -> list[str]:
    """Files that are missing, differ, or should not be there."""
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file is not up to date.")
def main(check: bool) -> None:
    wanted = rendered()
    different = outdated(wanted, FOLDER)
    if check:
        if different:
            click.echo(f"not what the code says: {', '.join(different)} in {FOLDER}", err=True)
            click.echo("write them again with: python -m deploy.k8s.dashboards", err=True)
        sys.exit(bool(different))
    FOLDER.mkdir(exist_ok=True)
    for name in different:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
        click.echo(f"{'wrote' if name in wanted else 'removed'} {FOLDER / name}")


if __name__ == "__main__":
    main()
