"""Run as a program by an ordinary user: attacks a level's walls, and prints a JSON object of what came of it.

Arguments: the level and the Python of the slots.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from gateway.shadow.sandbox.level import Level, obstacle
from gateway.shadow.sandbox.proof import prove


def main() -> None:
    level, python = Level(sys.argv[1]), Path(sys.argv[2])
    reason = obstacle(level, python)
    rows = [] if reason else [asdict(row) for row in prove(level, python).rows]
    print(json.dumps({"obstacle": reason, "rows": rows}))


if __name__ == "__main__":
    main()
