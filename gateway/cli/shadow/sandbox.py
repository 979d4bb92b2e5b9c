"""`yardstick shadow sandbox`: which walls stand on this machine, shown by attacking them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from gateway.shadow.sandbox.attacks import ATTACKS
from gateway.shadow.sandbox.attacks.verdict import Row
from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.level import Level, obstacle
from gateway.shadow.sandbox.proof import Proof, prove
from gateway.shadow.score.slots import CannotScore, where
from gateway.shadow.suites.task import SuiteKind

_TRIES = {attack.name: attack.tries for attack in ATTACKS}


@dataclass(frozen=True, slots=True)
class _Finding:
    """A level: why it can't start, or the proof that was tried."""

    level: Level
    obstacle: str | None
    proof: Proof | None

    @property
    def holds(self) -> bool:
        return self.proof is not None and self.proof.holds


@click.command(epilog="\b\nExamples:\n  yardstick shadow sandbox\n  yardstick shadow sandbox --level landlock --json")
@click.option(
    "--level",
    "named",
    type=click.Choice([str(level) for level in Level]),
    help="Try this one. Default: the strongest that can start, and weaker ones only if it does not hold.",
)
@click.option(
    "--environment",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder that `yardstick shadow setup --folder` made. Default: where it puts it, else the bare Python.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def sandbox(context: click.Context, /, named: str | None, environment: Path | None, as_json: bool) -> None:
    """Say which level of walls holds here, and attack it to prove that.

    Takes seconds, and harms nothing where walls fail. Ends with 0 if a level holds, else with 1.
    """
    try:
        python = where(environment, SuiteKind.FIVE).python
    except CannotScore as error:
        click.echo(str(error), err=True)
        context.exit(1)
    findings: list[_Finding] = []
    for finding in _findings([Level(named)] if named else list(Level), python):
        findings.append(finding)
        if not as_json:
            _show(finding)
    held = next((finding.level for finding in findings if finding.holds), None)
    if as_json:
        click.echo(json.dumps(_document(python, held, findings), indent=2))
    elif held is None:
        click.echo("No level holds here: answers of models must not be run on this machine.")
    context.exit(0 if held else 1)


def _findings(levels: list[Level], python: Path) -> Iterator[_Finding]:
    """Of the strongest first, until one holds."""
    for level in levels:
        reason = obstacle(level, python)
        proof = None
        if reason is None:
            try:
                proof = _attacked(level, python)
            except SandboxError as error:
                reason = str(error)
        finding = _Finding(level, reason, proof)
        yield finding
        if finding.holds:
            return


def _attacked(level: Level, python: Path) -> Proof:
    """Shows a bar on a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("attacking {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(level, total=len(ATTACKS), last="")

        def tell(row: Row) -> None:
            bar.update(task, advance=1, last=row.attack)

        return prove(level, python, told=tell)


def _show(finding: _Finding) -> None:
    proof = finding.proof
    if proof is None:
        click.echo(f"{finding.level} can't start here: {finding.obstacle}")
        return
    console = Console()
    if console.is_terminal:
        table = Table("a job tried to", "", "because")
        for row in proof.rows:
            table.add_row(
                f"[bold]{row.attack}[/bold]\n{_TRIES[row.attack]}",
                "[green]stopped[/green]" if row.stopped else "[red]got through[/red]",
                escape(row.how),
            )
        console.print(table)
    else:
        for row in proof.rows:
            click.echo(f"{'stopped' if row.stopped else 'GOT THROUGH':<12}{row.attack:<30}{row.how}")
    stopped = sum(row.stopped for row in proof.rows)
    verdict = "holds" if proof.holds else "does not hold"
    click.echo(f"{finding.level} {verdict}: {stopped} of {len(proof.rows)} attacks stopped, in {proof.seconds:.1f} s.")


def _document(python: Path, held: Level | None, findings: list[_Finding]) -> dict[str, Any]:
    return {
        "level": held,
        "python": str(python),
        "levels": [
            {
                "level": finding.level,
                "holds": finding.holds,
                "obstacle": finding.obstacle,
                "seconds": round(finding.proof.seconds, 2) if finding.proof else None,
                "attacks": [
                    {"attack": row.attack, "tries": _TRIES[row.attack], "stopped": row.stopped, "how": row.how}
                    for row in (finding.proof.rows if finding.proof else ())
                ],
            }
            for finding in findings
        ],
    }
