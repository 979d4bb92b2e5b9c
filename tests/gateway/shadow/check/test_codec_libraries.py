"""numpy and pandas in the codec, in an environment that has them: the one for scoring."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gateway.shadow.environment import Environment

_SCRIPT = Path(__file__).with_name("library_values.py")
_SANDBOX = Path(__file__).parents[4] / "gateway/shadow/sandbox"


@pytest.mark.scoring
def test_values_of_numpy_and_pandas_come_back_the_same(scoring_environment: Environment) -> None:
    done = subprocess.run(
        [str(scoring_environment.python), "-W", "ignore", str(_SCRIPT), str(_SANDBOX)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cases = json.loads(done.stdout)
    assert {name: wrong for name, wrong in cases.items() if wrong} == {}
    assert len(cases) > 80
