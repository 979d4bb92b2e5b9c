"""What is worked for once: values are kept, failures are not."""

from __future__ import annotations

import pytest

from gateway.shadow.score.once import Once


def test_a_value_is_worked_for_once() -> None:
    once, values = Once[str, int](), iter(range(9))
    assert [once.get(key, lambda: next(values)) for key in "aaba"] == [0, 0, 1, 0]


def test_what_is_not_worth_keeping_is_worked_for_again() -> None:
    once, values = Once[str, int](), iter(range(9))
    assert [once.get("a", lambda: next(values), keep=lambda value: value > 1) for _ in range(4)] == [0, 1, 2, 2]


def test_a_failure_is_raised_once_and_the_next_one_who_asks_works() -> None:
    once = Once[str, int]()

    def fails() -> int:
        raise OSError("lost")

    for _ in range(2):
        with pytest.raises(OSError, match="lost"):
            once.get("a", fails)
    assert once.get("a", lambda: 7) == 7
