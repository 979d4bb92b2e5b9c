"""A pass must be earned: programs that don't solve their task don't pass it, whatever else they do."""

from __future__ import annotations

import pytest

from tests.gateway.shadow.check.forgeries import (
    ENTRY_POINT,
    FORGERIES,
    KNOWN_IN_PROCESS,
    NAMES,
    PRELUDE,
    RIGHT,
    TESTS,
    WRONG,
    Forgery,
)
from tests.gateway.shadow.check.runs import check, fools_naive_harness, passed

TASK = {"prelude": PRELUDE, "tests": TESTS, "entry_point": ENTRY_POINT, "names": list(NAMES)}
# Without walls these would reach for the processes of whoever runs the tests.
WITHIN = [forgery for forgery in FORGERIES if not forgery.needs_walls]
# What fools a harness that loads both into one module and counts a TestResult's entries. The others show that their
# way is closed; these show that the task can be forged.
FOOLS = {
    "assertions_patched", "assertions_patched_in_function", "build_class", "differs_from_nothing", "equal_to_all",
    "getattribute", "guard_disarmed", "imports_hooked", "liar_that_looks", "list_that_lies", "loader_patched",
    "mock_that_equals", "numbers_that_lie", "patch_that_undoes_itself", "result_patched", "run_patched",
    "skip_in_function", "test_instance", "thread_from_function", "thread_that_patches",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["separate", "in-process"])
def test_the_right_program_passes_and_a_wrong_one_does_not(kind: str) -> None:
    assert passed(check(kind, PRELUDE + RIGHT, TASK), NAMES)
    lines = check(kind, PRELUDE + WRONG, TASK)
    assert [line["test"] for line in lines if line.get("outcome") == "fail"]
    assert lines[-1] == {"end": True}


@pytest.mark.parametrize("forgery", WITHIN, ids=lambda forgery: forgery.name)
def test_separate(forgery: Forgery) -> None:
    assert not passed(check("separate", forgery.program, TASK, seconds=forgery.seconds), NAMES)


@pytest.mark.parametrize("forgery", WITHIN, ids=lambda forgery: forgery.name)
def test_in_process(forgery: Forgery) -> None:
    lines = check("in-process", forgery.program, TASK, seconds=forgery.seconds)
    assert passed(lines, NAMES) == (forgery.name in KNOWN_IN_PROCESS)


@pytest.mark.parametrize(
    "forgery", [forgery for forgery in WITHIN if forgery.name in FOOLS], ids=lambda forgery: forgery.name
)
def test_naive_harness_is_fooled(forgery: Forgery) -> None:
    assert fools_naive_harness(forgery.program, TASK, seconds=forgery.seconds)


def test_names_are_told_apart() -> None:
    names = [forgery.name for forgery in FORGERIES]
    assert len(set(names)) == len(names)
    assert set(KNOWN_IN_PROCESS) | FOOLS <= set(names)
