"""The demo's scoreboard: what canary tasks came to so far, read from the store, as `yardstick shadow report` does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.table import Table

from gateway.config import cache_dir
from gateway.demo.engine import LONG, SHORT
from gateway.families import MODELS
from gateway.shadow.gate.draws import Kind
from gateway.shadow.report.references import CLAIMED, REFERENCES
from gateway.shadow.store import Store, StoreUnavailable, Wanted, open_store
from gateway.shadow.suites.load import DEFAULT, load

_PER_HOUR = 1_200
_DAILY_TOKENS = 2_000_000
STORE = "shadow.db"


def settings(folder: Path, per_hour: int = _PER_HOUR) -> dict[str, object]:
    """The `shadow` section of the demo's gateway: canaries every few seconds, all of it in the demo's folder."""
    first, second = (
        {"family": MODELS[model].family, "model": model, "daily_tokens": _DAILY_TOKENS} for model in (SHORT, LONG)
    )
    canary = {"enabled": True, "rate": {"per_hour": per_hour}, "first": first, "second": second}
    return {
        "keyless": 1.0,
        "most_per_second": 50,
        "store": f"sqlite:///{folder / STORE}",
        "mirror": {"enabled": True},
        "canary": canary,
    }


def planted() -> Mapping[str, tuple[str, ...]]:
    """By model, what tells a simulated server to solve the suite's tasks as often as is claimed of its family."""
    tasks = cached_tasks()
    rates = {each.family: each.by_category for each in REFERENCES if each.label == CLAIMED}
    return {
        model: (
            *("--tasks", str(tasks)),
            *(word for name, rate in rates[MODELS[model].family].items() for word in ("--pass-rate", f"{name}={rate}")),
        )
        for model in (SHORT, LONG)
    }


def cached_tasks() -> Path:
    """The suite five as a file that simulated servers read. Raises OSError."""
    suite = load(DEFAULT)
    file = cache_dir() / f"demo-five-{suite.digest}.jsonl"
    if not file.exists():
        rows = (asdict(task) | {"category": task.groups[0]} for task in suite.tasks.values())
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        new.replace(file)
    return file


@dataclass
class Scoreboard:
    """`passed` and `pairs` by category; `open`: pairs without both verdicts yet."""

    pairs: Counter[str] = field(default_factory=Counter)
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    open: int = 0

    @classmethod
    def read(cls, folder: Path) -> Scoreboard:
        """Empty as long as there is no store."""
        board = cls()
        if not (folder / STORE).exists():
            return board
        try:
            with open_store(f"sqlite:///{folder / STORE}") as store:
                board._fill(store)
        except StoreUnavailable:  # it is just being made
            pass
        return board

    def _fill(self, store: Store) -> None:
        categories = {task.task_id: task.groups[0] for task in load(DEFAULT).tasks.values()}
        drawn = 0
        for one in store.evidence.samples(Wanted(kind=Kind.CANARY)):
            drawn += one.sample.control is None
        for one, first, second in store.evidence.pairs(Wanted(kind=Kind.CANARY)):
            if first.passed is None or second.passed is None:
                continue
            category = categories[one.sample.task_id]
            self.pairs[category] += 1
            self.passed[category, SHORT] += first.passed
            self.passed[category, LONG] += second.passed
        self.open = drawn - self.pairs.total()

    def table(self) -> Table:
        found = Table(title=f"Shadow-eval: {self.pairs.total()} pairs scored, {self.open} open", title_justify="left")
        found.caption = (
            "canary tasks of the suite five, the same to both models, scored by running their tests; the simulated"
            " models solve them as often as is claimed of their families, which is planted here and measured nowhere"
        )
        for name in ("category", SHORT, LONG, "pairs"):
            found.add_column(name, justify="left" if name == "category" else "right")
        for category in sorted(self.pairs):
            found.add_row(category, *(self._share([category], model) for model in (SHORT, LONG)), self._count(category))
        every = sorted(self.pairs)
        found.add_row("all", *(self._share(every, model) for model in (SHORT, LONG)), str(self.pairs.total()))
        return found

    def _count(self, category: str) -> str:
        return str(self.pairs[category])

    def _share(self, categories: list[str], model: str) -> str:
        pairs = sum(self.pairs[category] for category in categories)
        return f"{sum(self.passed[category, model] for category in categories) / pairs:.0%}" if pairs else "-"
