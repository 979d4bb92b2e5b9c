"""Load on any OpenAI-compatible address, by people: `.load/bin/locust -f loadtests/locustfile.py --host http://...`.

What they do, and which options they know, is in `people/`; `--mix` chooses who comes, `--shape` how many and when.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # locust adds this file's folder alone

from loadtests.people import mixes, options, progress, statistics
from loadtests.people.arrivals import Arrivals
from loadtests.people.users import Agent, Chatter, Solver, Typist

__all__ = ["Agent", "Arrivals", "Chatter", "Solver", "Typist", "mixes", "options", "progress", "statistics"]
