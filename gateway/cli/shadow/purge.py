"""`yardstick shadow purge`: deletes evidence for good."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from gateway.cli.shadow.stores import StoreCommand, opened, store_option
from gateway.cli.shadow.times import when
from gateway.shadow.store import Purged, StoreUnavailable


@click.command(
    cls=StoreCommand,
    epilog="\b\nExamples:\n  yardstick shadow purge --before 30d\n"
    "  yardstick shadow purge --key alice --before 2026-11-01\n"
    "  yardstick shadow purge --everything --yes",
)
@store_option
@click.option(
    "--before",
    type=when,
    metavar="TIME|AGE",
    help="Samples from before then, a date, time (UTC) or age; counters and gaps too.",
)
@click.option("--key", metavar="NAME", help="Samples of the client's key of this name only; no counters or gaps.")
@click.option("--everything", is_flag=True, help="All that is stored.")
@click.option("--yes", is_flag=True, help="With --everything: that it is meant.")
@click.option("--json", "as_json", is_flag=True, help="The numbers of rows as JSON.")
def purge(
    store_url: str | None, before: float | None, key: str | None, everything: bool, yes: bool, as_json: bool
) -> None:
    """Delete samples with their runs and verdicts, so that they can't be read from the database's files any more.

    With --before and --key, what both say. Backups and copies are not reached. Ends with 0 if it was done, 1 if the
    store could not be purged.
    """
    _check(before, key, everything=everything, yes=yes)
    try:
        with opened(store_url) as store:
            purged = store.purge(before=before, key=key, everything=everything)
    except StoreUnavailable as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
    click.echo(json.dumps(asdict(purged) | {"rows": purged.rows}) if as_json else _told(purged))


def _check(before: float | None, key: str | None, *, everything: bool, yes: bool) -> None:
    chosen = before is not None or key is not None
    if everything and chosen:
        raise click.UsageError("--everything leaves nothing to choose with --before or --key: give one or the other")
    if not everything and not chosen:
        raise click.UsageError("say what to delete: --before, --key, or --everything --yes")
    if everything and not yes:
        raise click.UsageError("--everything deletes all evidence for good: add --yes if that is meant")
    if key == "":
        raise click.UsageError("--key has to name a key")


def _told(purged: Purged) -> str:
    parts = ", ".join(f"{count:,} {name}" for name, count in asdict(purged).items())
    return f"{purged.rows:,} rows deleted: {parts}"
