"""A part of the gateway switched off and on by turns, within one process: what it costs of that process's CPU.

Two processes of the same program differ by more than what is looked for (20 us of 110 a request were seen), and so
does one from itself, from one second to the next (31 us of 150, whether it was measured for a third of a second or for
more). So a turn is a tenth of a second, in a load that goes on, and compared with its neighbours. What is done later
for many requests, by threads of its own, is in no turn: it is added, for as many requests as had it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from loadtests.overhead import SCENARIOS, Scenario, load, sample
from loadtests.switched import BEGIN, END

BLOCKS = 20
"""Of turns: what the interval is of. One after the other, blocks are of seconds, and differ as these do."""
T_OF_20 = 2.093
"""Student's t, 97.5 %, of so many blocks.
https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm"""

PLAIN, STREAM = SCENARIOS[0], replace(SCENARIOS[1], name="unpaced stream of 16 chunks, 16 at once", chunks=16)
"""Short streams: what is looked for is a hundredth of what one of 128 chunks takes, and less than that varies by."""
LARGE = SCENARIOS[3]

WARMING = 50
"""Requests of each client before turns begin."""
_TURN = 0.1  # seconds
_LEAST = 10.0
"""Seconds of load: four turns for each block, and some to spare."""
_SENDING = 6.0
"""Seconds after the load until all of its spans are sent, of which the SDK sends what it has every 5 s."""


@dataclass
class Row:
    """CPU microseconds a request. `low` and `high`: the 95 % interval of `more`. `later`: the part of it that threads
    of its own take."""

    scenario: str
    requests: int
    off: float
    more: float
    low: float
    high: float
    later: float
    exact: bool

    def cells(self) -> tuple[str, ...]:
        """Of `COLUMNS`."""
        name = self.scenario if self.exact else f"{self.scenario}: WRONG ANSWERS"
        between = f"{self.low:.1f} to {self.high:.1f}"
        return name, f"{self.requests:,}", f"{self.off:.0f}", f"{self.more:.1f}", between, f"{self.later:.1f}"


COLUMNS = ("CPU us a request", "requests", "off", "more when on", "95 %", "of it by threads")


@dataclass(frozen=True)
class Switched:
    """A gateway that `command` started, which writes to `file`."""

    port: int
    process: int
    file: Path


def seconds_of_load(text: str) -> float:
    """An option's value. Raises argparse's error for less than makes an interval."""
    seconds = float(text)
    if not seconds >= _LEAST:
        raise argparse.ArgumentTypeError(f"{text} s are too few for an interval: at least {_LEAST:g}")
    return seconds


def command(part: str, file: Path) -> tuple[str, ...]:
    """In place of `yardstick`. `part`: see `switched`."""
    return (sys.executable, "-m", "loadtests.switched", part, str(_TURN), str(file))


def compared(scenario: Scenario, gateway: Switched, upstream: int, seconds: float) -> Row:
    """`upstream`: a port whose answers it is to give. `seconds`: of load, after a warm-up."""
    expected = uvloop.run(sample(upstream, scenario))
    uvloop.run(load(gateway.port, replace(scenario, requests=WARMING * scenario.concurrency), expected))
    gateway.file.unlink(missing_ok=True)
    os.kill(gateway.process, BEGIN)
    clients = uvloop.run(load(gateway.port, scenario, expected, seconds))
    time.sleep(_SENDING)
    os.kill(gateway.process, END)
    end = time.monotonic() + 30
    while not gateway.file.exists():
        if time.monotonic() > end:
            raise SystemExit(f"the gateway did not write what it measured to {gateway.file} within 30 s")
        time.sleep(0.05)
    said = json.loads(gateway.file.read_text())
    return row(scenario.name, said["turns"], said["threads"], exact=all(each.exact == each.done for each in clients))


def row(name: str, turns: Sequence[tuple[bool, int, int]], threads: dict[str, int], *, exact: bool) -> Row:
    """`turns`: whether it was on, requests that ended, and nanoseconds. `threads`: nanoseconds of each, of all turns.

    Raises ValueError if there are too few turns: two in each block, of each kind.
    """
    size = len(turns) // BLOCKS // 4 * 4
    if not size:
        raise ValueError(f"{len(turns)} turns are too few for {BLOCKS} blocks of at least 4: load it for longer")
    later = sum(threads.values()) / 1e3 / sum(count for on, count, _ in turns if on)
    turns = turns[: size * BLOCKS]
    blocks = [turns[first : first + size] for first in range(0, len(turns), size)]
    differences = [_spent(block, on=True) - _spent(block, on=False) for block in blocks]
    requests = sum(count for _, count, _ in turns)
    more = statistics.mean(differences) + later
    half = T_OF_20 * statistics.stdev(differences) / BLOCKS**0.5
    return Row(name, requests, _spent(turns, on=False), more, more - half, more + half, later, exact)


def _spent(turns: Sequence[tuple[bool, int, int]], *, on: bool) -> float:
    """Microseconds a request, in the turns of this kind."""
    chosen = [(count, spent) for was, count, spent in turns if was is on]
    return sum(spent for _, spent in chosen) / 1e3 / sum(count for count, _ in chosen)
