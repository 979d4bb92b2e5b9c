"""No false accusations: honest programs pass, whatever they use."""

from __future__ import annotations

import pytest

from tests.gateway.shadow.check.honest import HONEST, Honest, task
from tests.gateway.shadow.check.runs import check, passed


@pytest.mark.parametrize("one", HONEST, ids=lambda one: one.name)
def test_in_process(one: Honest) -> None:
    lines = check("in-process", one.program, task(one))
    assert passed(lines, ["test_it"]), lines


@pytest.mark.parametrize("one", HONEST, ids=lambda one: one.name)
def test_separate(one: Honest) -> None:
    """Those that can't be told apart from their tests fail, and are then checked in one process."""
    lines = check("separate", one.program, task(one))
    assert passed(lines, ["test_it"]) == one.separable, lines
