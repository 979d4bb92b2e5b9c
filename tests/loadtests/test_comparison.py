"""`make load-comparison`, as short as it can be: that it runs and says something, not what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import finished

pytestmark = [pytest.mark.load, pytest.mark.timeout(300)]

_LIMIT = 270.0  # it takes a tenth of that where nothing else runs
_TIMES = {"ttft_p50", "ttft_p99", "between_chunks_p50", "between_chunks_p99"}
_SHORTEST = ("--seeds", "1", "--seconds", "2", "--warm-up", "0", "--time-scale", "0.1")
_RATES = ("--short-rate", "0.5", "--long-rate", "0.2")  # five and two in a real second


@pytest.mark.usefixtures("installed")
async def test_it_compares_both_set_ups_and_draws_them(tmp_path: Path) -> None:
    output = tmp_path / "comparison.json"
    command = (sys.executable, "-m", "loadtests.comparison", *_SHORTEST, *_RATES, "--output", str(output))
    code, said = await finished(*command, seconds=_LIMIT)
    assert code == ("doubtful: " in said), said  # a busy machine is told of, and is no fault
    setups = json.loads(output.read_text())["setups"]
    assert set(setups) == {"split", "mixed"}
    for setup in setups.values():
        (only,) = setup["seeds"]
        assert {kind: only[kind] for kind in ("short", "long")} == {
            kind: checked(setup["together"][kind]) for kind in ("short", "long")
        }
        assert only["short"]["prompt_tokens"] < 8_192 < 20_000 <= only["long"]["prompt_tokens"] <= 100_000
    counts = {kind: {setup["together"][kind]["requests"] for setup in setups.values()} for kind in ("short", "long")}
    assert all(len(of_both) == 1 for of_both in counts.values()), "not the same arrivals"
    drawn = output.with_suffix(".svg").read_text()
    for kind, (requests,) in counts.items():
        assert f">{kind} prompts (n = {requests})<" in drawn
    for name in ("split by length: 3 servers for short prompts, 1 for long ones", "mixed: 4 servers for everything"):
        assert f">{name}" in drawn


def checked(row: dict[str, Any]) -> dict[str, Any]:
    """What is told of one kind of prompt in one set-up."""
    assert set(row) == {"requests", "prompt_tokens", *_TIMES}
    assert all(value > 0 for value in row.values()), row
    assert row["ttft_p50"] <= row["ttft_p99"]
    assert row["between_chunks_p50"] <= row["between_chunks_p99"]
    return row
