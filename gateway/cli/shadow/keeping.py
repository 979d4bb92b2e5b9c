"""`--keep-samples`, `--keep-answers`, `--keep-unscored`: how long what is stored stays."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import click

from gateway.shadow.store import LONGEST_KEPT, Retention

_DAYS = click.FloatRange(0, LONGEST_KEPT)
_USUAL = Retention()


def keep_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives the command a `keep`, with the store's own defaults."""

    @click.option(
        "--keep-samples",
        type=_DAYS,
        default=_USUAL.samples,
        show_default=True,
        metavar="DAYS",
        help="Delete what is older: samples with all that hangs on them, counters, gaps.",
    )
    @click.option(
        "--keep-answers",
        type=_DAYS,
        default=_USUAL.answers,
        show_default=True,
        metavar="DAYS",
        help="Keep answers that were scored, until their samples are so old; 0: none.",
    )
    @click.option(
        "--keep-unscored",
        type=_DAYS,
        default=_USUAL.unscored,
        show_default=True,
        metavar="DAYS",
        help="Give up older answers that nobody has scored: they become errors.",
    )
    @wraps(command)
    def with_keep(
        *arguments: object, keep_samples: float, keep_answers: float, keep_unscored: float, **others: object
    ) -> None:
        keep = Retention(samples=keep_samples, answers=keep_answers, unscored=keep_unscored)
        command(*arguments, keep=keep, **others)

    return with_keep
