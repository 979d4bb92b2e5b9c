"""`--store`: the store of shadow-eval that a command reads, purges or writes verdicts to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from gateway.config import data_dir, environment
from gateway.config_shadow import QUEUE
from gateway.shadow.store import Retention, Store, StoreUnavailable, open_store

_VARIABLE = "YARDSTICK_SHADOW_STORE"
_SECRET = re.compile(r"//[^/\s]*@")

store_option = click.option(
    "--store",
    "store_url",
    metavar="URL",
    help="sqlite:///FILE or postgresql://USER@HOST/DATABASE. A password is better not here, where `ps` shows it: in"
    " PGPASSWORD, ~/.pgpass, or a URL in $YARDSTICK_SHADOW_STORE. Default: that, else"
    " $XDG_DATA_HOME/yardstick/shadow.db, or below ~/.local/share.",
)

queue_option = click.option(
    "--queue",
    "queue_url",
    metavar="URL",
    help="redis://HOST/NUMBER or postgresql://USER@HOST/DATABASE: tells at once what waits in the store. A password is"
    " better in $YARDSTICK_SHADOW_QUEUE. Default: that, else none, and the store is looked through every second.",
)


class StoreCommand(click.Command):
    """A command that is given a URL, which may hold a password: what is said of a wrong command line never shows it."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if _SECRET.search(error.format_message()):
                shown = _SECRET.sub("//***@", error.format_message())
                raise click.UsageError(shown, ctx=error.ctx) from None
            raise


def default_store() -> str:
    return environment(_VARIABLE) or f"sqlite:///{data_dir() / 'shadow.db'}"


def queue_address(url: str | None) -> str | None:
    return url or environment(QUEUE)


@contextmanager
def opened(url: str | None, *, keep: Retention | None = None) -> Iterator[Store]:
    """Raises StoreUnavailable, also for a SQLite file that is not there: one that is made now has nothing to read."""
    url = url or default_store()
    path = _sqlite_file(url)
    if path is not None and not path.exists():
        remedy = "Name the store that shadow-eval writes to with --store URL."
        raise StoreUnavailable("there is no such file", f"SQLite file {path}", remedy)
    with open_store(url, keep=keep) as store:
        yield store


def _sqlite_file(url: str) -> Path | None:
    """None for what is no SQLite file's URL; whether it is any database's, the store says."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return None
    return Path(parsed.database) if parsed.drivername.startswith("sqlite") and parsed.database else None
