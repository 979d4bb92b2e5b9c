"""Commands whose exit code is an answer."""

from __future__ import annotations

import traceback
from typing import Any, NoReturn

import click

from gateway.cli.shadow.stores import StoreCommand

NO_ANSWER = 3
"""The exit code of everything that is not the command's answer: 1 and 2, which others end with, are answers here."""


class _NoAnswer(click.UsageError):
    exit_code = NO_ANSWER


class AnsweringCommand(StoreCommand):
    """What it returns is its exit code. A wrong command line, a bug and Ctrl-C must not look like 1 or 2."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise _NoAnswer(error.format_message(), ctx=error.ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            answer = super().invoke(ctx)
        except SystemExit:  # ours, or rich's, which ends with 1 where nobody reads
            raise SystemExit(NO_ANSWER) from None
        except KeyboardInterrupt:
            no_answer("interrupted, so there is no answer")
        except BrokenPipeError:
            no_answer("nobody reads what is printed, so there is no answer")
        except BaseException:
            traceback.print_exc()
            no_answer("this is a bug, so there is no answer: please report it")
        raise SystemExit(answer)


def no_answer(message: str) -> NoReturn:
    click.echo(message, err=True)
    raise SystemExit(NO_ANSWER)
