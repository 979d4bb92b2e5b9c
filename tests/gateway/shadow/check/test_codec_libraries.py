"""numpy and pandas in the codec, in an environment that has them: the one for scoring."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gateway.shadow.environment import EnvironmentMissing, find

_SCRIPT = Path(__file__).with_name("library_values.py")
_SANDBOX = Path(__file__).parents[4] / "gateway/shadow/sandbox"


def test_values_of_numpy_and_pandas_come_back_the_same() -> None:
    try:
        python = find().python
    except EnvironmentMissing as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [str(python), "-W", "ignore", str(_SCRIPT), str(_SANDBOX)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cases = json.loads(done.stdout)
    assert {name: wrong for name, wrong in cases.items() if wrong} == {}
    assert len(cases) > 80
