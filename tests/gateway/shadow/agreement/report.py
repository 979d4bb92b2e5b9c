"""The result of a comparison, for readers and for programs."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.gateway.shadow.agreement.compare import Comparison, Difference
from tests.gateway.shadow.agreement.samples import KINDS, Judged
from tests.gateway.shadow.agreement.verdicts import Said

_VERDICTS = ("pass", "fail", "timeout", "error")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the result depends on."""

    suite: str
    environment: str
    python: str
    tasks: int
    workers: int


def document(
    conditions: Conditions,
    comparison: Comparison,
    samples: Sequence[Judged],
    official: Mapping[str, Said],
    ours: Mapping[str, Said],
) -> dict[str, Any]:
    def told(differences: Sequence[Difference]) -> list[dict[str, Any]]:
        return [
            {
                "id": each.id,
                "official": [said.verdict for said in each.official],
                "ours": [said.verdict for said in each.ours],
                "level": each.ours[-1].level,
                "cause": each.cause or ("the official harness differs from itself" if each.flake else ""),
            }
            for each in differences
        ]

    return {
        "conditions": {**asdict(conditions), "bigcodebench": "0.2.5", "machine": platform.machine()},
        "samples": comparison.samples,
        "lasting": told(comparison.lasting),
        "share": round(comparison.share, 5),
        "agrees": comparison.agrees,
        "flakes": told(comparison.flakes),
        "passing": told(comparison.passing),
        "verdicts": {kind: _pairs(kind, samples, official, ours) for kind in KINDS},
        "levels": dict(Counter(said.level for said in ours.values())),
        "official_canonical_not_passed": sorted(
            each.id for each in samples if each.kind == "canonical" and official[each.id].verdict != "pass"
        ),
    }


def _pairs(
    kind: str, samples: Sequence[Judged], official: Mapping[str, Said], ours: Mapping[str, Said]
) -> dict[str, int]:
    """How often which pair of verdicts (official, ours) was given."""
    pairs = Counter((official[each.id].verdict, ours[each.id].verdict) for each in samples if each.kind == kind)
    return {f"{first} {second}": count for (first, second), count in sorted(pairs.items())}


def markdown(result: Mapping[str, Any]) -> Iterator[str]:
    conditions = result["conditions"]
    yield "# Agreement with the official harness"
    yield ""
    yield (
        f"bigcodebench {conditions['bigcodebench']} (`untrusted_check`, `evaluate`'s defaults, calibrated) and"
        f" `yardstick shadow score` (its defaults), on {conditions['tasks']} tasks of {conditions['suite']}:"
        f" {result['samples']:,} samples."
    )
    yield (
        f"Both with Python {conditions['python']} and the libraries of `{conditions['environment']}`, without network"
        f" but a loopback, not as root, {conditions['workers']} at a time, on {conditions['machine']}."
    )
    yield ""
    yield (
        f"**{len(result['lasting'])} verdicts differ ({result['share']:.2%}; at most 0.5 % may).** Beside them,"
        f" {len(result['flakes'])} where the official harness differs from itself, and {len(result['passing'])} that"
        " differed in the first run and not when run alone."
    )
    yield ""
    yield from _table_of_verdicts(result["verdicts"])
    for title, rows in (("Differences", "lasting"), ("Flaky under the official harness", "flakes"),
                        ("Only in the first run", "passing")):  # fmt: skip
        if result[rows]:
            yield f"\n## {title}\n"
            yield "| sample | official | ours | how ours was checked | cause |"
            yield "|---|---|---|---|---|"
            for row in result[rows]:
                official, ours = ", ".join(row["official"]), ", ".join(row["ours"])
                cause = row["cause"] or ("unexplained" if rows == "lasting" else "")
                yield f"| {row['id']} | {official} | {ours} | {row['level']} | {cause} |"
    failing = result["official_canonical_not_passed"]
    yield "\n## Canonical solutions that the official harness does not pass here\n"
    yield f"{len(failing)}: {', '.join(name.removesuffix(' canonical') for name in failing) or 'none'}."


def _table_of_verdicts(verdicts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield "| solutions | official | ours: pass | fail | timeout | error |"
    yield "|---|---|---|---|---|---|"
    for kind, pairs in verdicts.items():
        for first in _VERDICTS[:3]:
            counts = [pairs.get(f"{first} {second}", 0) for second in _VERDICTS]
            if any(counts):
                yield f"| {kind} | {first} | {' | '.join(map(str, counts))} |"


def as_json(result: Mapping[str, Any]) -> str:
    return json.dumps(result, indent=1) + "\n"
