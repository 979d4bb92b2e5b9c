"""Compute for ever in processes that end before anyone looks, each the grandchild of one that has gone."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """Has to be ended from outside: the time of those that are gone counts too."""
    while True:
        try:
            child = os.fork()
        except OSError:
            continue  # too many of them for the moment
        if child == 0:
            try:
                if os.fork() == 0:
                    for _ in range(200_000):
                        pass
            finally:
                os._exit(0)
        os.waitpid(child, 0)
