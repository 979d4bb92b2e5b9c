"""BigCodeBench v0.1.4 from Hugging Face's hub, as JSONL.

By the rows route of the hub's dataset viewer (https://huggingface.co/docs/dataset-viewer/rows): plain JSON of at most
100 rows a request, where the hub's own files are parquet, which nothing else here can read.
"""

from __future__ import annotations

import http.client
import json
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from gateway.shadow.suites import bigcodebench
from gateway.shadow.suites.jsonl import Problem

VIEWER = "https://datasets-server.huggingface.co"
VERSION = "v0.1.4"

_PAGE = 100
_MOST_BYTES = 64 << 20
_SECONDS = 60
_TRIES = 4
_FIELDS = (*bigcodebench.FIELDS, "doc_struct", "libs")


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    tasks: int

    @property
    def file_name(self) -> str:
        return f"{self.name.partition('/')[2]}-{VERSION}.jsonl"


FULL = Dataset("bigcode/bigcodebench", 1140)
HARD = Dataset("bigcode/bigcodebench-hard", 148)


class FetchError(Exception):
    """Says what went wrong, and what to do."""


def fetch(
    dataset: Dataset, target: Path, *, viewer: str, wait: Callable[[float], object], tell: Callable[[int], object]
) -> None:
    """Writes the whole split or nothing. `tell` hears the number of tasks so far; `wait` pauses between tries."""
    rows = list[str]()
    for row in _rows(dataset, viewer.rstrip("/"), wait):
        rows.append(_line(row, len(rows), dataset))
        if len(rows) % _PAGE == 0 or len(rows) == dataset.tasks:
            tell(len(rows))
    ids = {json.loads(line)["task_id"] for line in rows}
    if len(ids) != dataset.tasks:
        raise FetchError(f"{dataset.name} {VERSION} came with {len(ids):,} different tasks, not {dataset.tasks:,}")
    _write("".join(rows), target)


def _rows(dataset: Dataset, viewer: str, wait: Callable[[float], object]) -> Iterator[Mapping[str, Any]]:
    for offset in range(0, dataset.tasks, _PAGE):
        page = _page(dataset, viewer, offset, wait)
        expected = range(offset, min(offset + _PAGE, dataset.tasks))
        total, rows = page.get("num_rows_total"), page.get("rows")
        if total != dataset.tasks:
            raise FetchError(
                f"{dataset.name} {VERSION} has {total!r} rows on the hub, where {dataset.tasks:,} were published: it"
                " was changed. Say so in an issue; figures of another version can't be compared"
            )
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or page.get("partial"):
            raise FetchError(f"{viewer} answered with something else than the rows of a dataset")
        if [row.get("row_idx") for row in rows] != list(expected):
            raise FetchError(f"{viewer} left out rows of {expected.start} to {expected.stop - 1}; try again later")
        for row in rows:
            if row.get("truncated_cells"):
                raise FetchError(f"{viewer} cut off fields of row {row['row_idx']}; a task can't be used in part")
            yield row.get("row") or {}


def _line(row: Mapping[str, Any], number: int, dataset: Dataset) -> str:
    """The row in the benchmark's own schema (the hub's Hard split has columns beyond it), checked as a task."""
    problems = list[Problem]()
    kept = {field: row[field] for field in _FIELDS if field in row}
    try:
        task = bigcodebench.task_of(kept, lambda text: problems.append(Problem(number, text)))
    except bigcodebench.Unreadable:
        told = "; ".join(problem.text for problem in problems)
        raise FetchError(f"row {number} of {dataset.name} {VERSION} is no task: {told}") from None
    if not bigcodebench.IS_BIGCODEBENCH(task.task_id):
        raise FetchError(f"row {number} of {dataset.name} {VERSION} is {task.task_id!r}, no task of BigCodeBench")
    return json.dumps(kept) + "\n"


def _page(dataset: Dataset, viewer: str, offset: int, wait: Callable[[float], object]) -> dict[str, Any]:
    query = {"dataset": dataset.name, "config": "default", "split": VERSION, "offset": offset, "length": _PAGE}
    url = f"{viewer}/rows?{urlencode(query)}"
    for attempt in range(1, _TRIES + 1):
        try:
            return _answer(url, viewer)
        except urllib.error.HTTPError as error:
            if attempt == _TRIES or error.code not in (429, 500, 502, 503, 504):
                raise FetchError(_refusal(error, viewer, dataset)) from None
        except (OSError, http.client.HTTPException) as error:
            if attempt == _TRIES:
                raise FetchError(_unreachable(error, viewer, dataset)) from None
        wait(2**attempt)
    raise AssertionError("unreachable")


def _answer(url: str, viewer: str) -> dict[str, Any]:
    if urlsplit(url).scheme not in ("http", "https"):
        raise FetchError(f"{viewer} is no http or https address")
    request = urllib.request.Request(url, headers={"accept": "application/json", "user-agent": "yardstick"})
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        text = answer.read(_MOST_BYTES + 1)
    try:
        value = json.loads(text) if len(text) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise FetchError(f"{viewer} answered with something else than the rows of a dataset")
    return value


def _refusal(error: urllib.error.HTTPError, viewer: str, dataset: Dataset) -> str:
    try:
        told = json.loads(error.read(10_000)).get("error")
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        told = None
    reason = f": {str(told)[:300]}" if told else ""
    return f"{viewer} answered {error.code} for {dataset.name} {VERSION}{reason}. {_elsewhere(dataset)}"


def _unreachable(error: Exception, viewer: str, dataset: Dataset) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{viewer} can't be reached: {reason}. {_elsewhere(dataset)}"


def _elsewhere(dataset: Dataset) -> str:
    return (
        f"Try again later; or save the split {VERSION} of https://huggingface.co/datasets/{dataset.name} as JSONL"
        " where there is a network, and name that file with --suite"
    )


def _write(text: str, target: Path) -> None:
    """All or nothing: a file that is there under its name is whole."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=f".{target.name}.", delete=False) as part:
            try:
                part.write(text)
                part.close()
                Path(part.name).chmod(0o644)
                os.replace(part.name, target)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise FetchError(f"{target} can't be written: {error.strerror or error}") from None
