"""`yardstick shadow`: code is scored by running its tests."""

from __future__ import annotations

import click

from gateway.cli.shadow.fetch import fetch
from gateway.cli.shadow.gate import gate
from gateway.cli.shadow.purge import purge
from gateway.cli.shadow.report import report
from gateway.cli.shadow.samples import samples
from gateway.cli.shadow.sandbox import sandbox
from gateway.cli.shadow.score import score
from gateway.cli.shadow.setup import setup
from gateway.cli.shadow.threshold import threshold
from gateway.cli.shadow.worker import worker


@click.group(
    epilog="\b\nTry it, with the suite `five` and its own answers, right and wrong:\n"
    "  yardstick shadow samples --wrong > samples.jsonl\n"
    "  yardstick shadow score --samples samples.jsonl"
)
def shadow() -> None:
    """Score models' code by running its tests, in a sandbox."""


for command in (score, samples, sandbox, setup, fetch, worker, report, gate, purge, threshold):
    shadow.add_command(command)
