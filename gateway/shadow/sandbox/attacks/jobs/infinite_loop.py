"""Compute for ever."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """Has to be ended from outside."""
    while True:
        pass
