"""The levels of walls, from the strongest down."""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """Namespaces made by bubblewrap, or Landlock where none can be made; both with a filter of system calls."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
