"""What is planted: the table that both families are claimed to reach, worlds without a difference, three thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from gateway.families import MODELS
from gateway.shadow.report.references import CLAIMED, REFERENCES
from tests.fakes.gateway import LONG, SHORT
from tests.gateway.shadow.planted.system import CATEGORY, Planted

ICCS = (0.0, 0.2, 0.4, 0.6)
FORMS = ("instruct", "complete")


def table(model: str) -> Mapping[str, float]:
    """By category, as claimed of the model's family."""
    claimed = (each for each in REFERENCES if each.label == CLAIMED and each.family == MODELS[model].family)
    return next(claimed).by_category


def concentration(icc: float) -> float:
    """Of Beta rates whose intra-class correlation is this: 1 / (k + 1)."""
    return 1 / icc - 1 if icc else 1e9


def as_claimed(seed: int, icc: float) -> dict[str, Planted]:
    """Each family's tasks have rates of their own, drawn by its server from Beta around the table's category means."""
    return {model: Planted(seed, table(model), concentration(icc)) for model in (SHORT, LONG)}


def without_difference(seed: int, icc: float) -> dict[str, Planted]:
    """Both families have the same rate for each task. What they answer is drawn apart, as they have two names."""
    random, k = Random(f"no difference {seed}"), concentration(icc)
    means = table(SHORT if seed % 2 else LONG)
    rates = {
        task: random.betavariate(means[name] * k, (1 - means[name]) * k) if icc else means[name]
        for task, name in CATEGORY.items()
    }
    return {model: Planted(seed, by_task=rates) for model in (SHORT, LONG)}


def icc_of(place: int) -> float:
    return ICCS[place % len(ICCS)]


def form_of(place: int) -> str:
    return FORMS[place // len(ICCS) % len(FORMS)]
