"""``python -m tests.gateway.shadow.agreement TASKS.jsonl``: do the official harness and ours give the same verdicts?

Installs the full scoring environment and the official harness once. Ends with 1 if more verdicts differ than may, or if
a difference is not explained in known.json.
"""

from __future__ import annotations

import platform
import sys
from functools import partial
from pathlib import Path

import click

from gateway.shadow.environment.pip import SetupError
from gateway.shadow.suites.jsonl import InputError
from gateway.shadow.suites.load import read
from gateway.shadow.suites.task import Task
from tests.gateway.shadow.agreement import report
from tests.gateway.shadow.agreement.compare import compare, read_known
from tests.gateway.shadow.agreement.harnesses import CannotCompare, Official, Ours, cores, installed
from tests.gateway.shadow.agreement.samples import KINDS, judged, stratified


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--stratified", "count", type=click.IntRange(min=7), help="So many tasks of it, by domain.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), default=KINDS, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=".agreement", show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=cores(), show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=2, show_default=True, help="Of samples that differ.")
@click.option("--output", type=click.Path(path_type=Path), help="Result: this name with .json and .md added.")
def main(
    file: Path,
    count: int | None,
    kinds: tuple[str, ...],
    folder: Path,
    workers: int,
    repeats: int,
    output: Path | None,
) -> None:
    """Compare verdicts on the tasks of FILE, for right, wrong and empty solutions."""
    try:
        tasks = list(read(str(file)).tasks.values())
        result = _result(file, stratified(tasks, count) if count else tasks, kinds, folder, workers, repeats)
    except (SetupError, CannotCompare, InputError) as error:
        raise click.ClickException(str(error)) from None
    text = "\n".join(report.markdown(result)) + "\n"
    print(text)
    target = output or folder / "result"
    target.with_suffix(".json").write_text(report.as_json(result), encoding="utf-8")
    target.with_suffix(".md").write_text(text, encoding="utf-8")
    sys.exit(0 if result["agrees"] else 1)


def _result(
    file: Path, tasks: list[Task], kinds: tuple[str, ...], folder: Path, workers: int, repeats: int
) -> dict[str, object]:
    environment = installed(folder)
    official = Official(folder, environment, workers, warm=True)
    ours = Ours(file, folder, environment.name, workers)
    samples = judged(tasks, kinds)
    ours_said = ours.judge(samples)
    official_said = official.judge(samples)
    again = (partial(official.judge, anew=True, workers=1), partial(ours.judge, anew=True, workers=1))
    comparison = compare(samples, official_said, ours_said, again, repeats=repeats, known=read_known())
    conditions = report.Conditions(file.name, environment.name, platform.python_version(), len(tasks), workers)
    return report.document(conditions, comparison, samples, official_said, ours_said)


if __name__ == "__main__":
    main()
