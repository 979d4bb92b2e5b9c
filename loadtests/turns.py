"""A part of the gateway switched off and on by turns, within one process: what it costs of that process's CPU.

Two processes of the same program differ by more than what is looked for (20 us of 110 a request were seen), and one
differs from itself minutes later; so turns are short, many, and compared with their neighbours. CPU is read from the
process's own clock, in nanoseconds: its threads are in it, its children are not.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

from loadtests.overhead import Scenario, load, sample
from loadtests.switched import OFF, ON

FEWEST_ROUNDS = 20
T_OF_20 = 2.093
"""Student's t, 97.5 %, of so many rounds; for more it is less, and an interval a little too wide.
https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm"""


@dataclass
class Row:
    """CPU microseconds a request. `low` and `high`: the 95 % interval of `more`."""

    scenario: str
    off: float
    on: float
    more: float
    low: float
    high: float
    exact: bool


def command(*parts: str) -> tuple[str, ...]:
    """In place of `yardstick`."""
    return (sys.executable, "-m", "loadtests.switched", ",".join(parts))


def cpu_ns(process: int) -> int:
    """CPU time of a process and its threads; see clock_getcpuclockid(3) for how its clock is called."""
    return time.clock_gettime_ns((~process << 3) | 2)


def compared(scenario: Scenario, gateway: tuple[int, int], upstream: int, rounds: int, settling: float = 0.3) -> Row:
    """`gateway`: port and process, started by `command`. `upstream`: a port whose answers it is to give.

    `settling`: seconds in which what a turn leaves to be written or sent is, which count as the turn's.
    """
    port, process = gateway
    expected = uvloop.run(sample(upstream, scenario))
    turns: list[tuple[float, float]] = []
    wrong = 0
    for number in range(-1, rounds):  # the first one warms
        spent = {}
        for way in (OFF, ON) if number % 2 == 0 else (ON, OFF):
            os.kill(process, way)
            time.sleep(0.05)
            before = cpu_ns(process)
            clients = uvloop.run(load(port, scenario, expected))
            time.sleep(settling)
            spent[way] = (cpu_ns(process) - before) / 1e3 / sum(client.done for client in clients)
            wrong += sum(client.done - client.exact for client in clients)
        if number >= 0:
            turns.append((spent[OFF], spent[ON]))
    return row(scenario.name, turns, exact=not wrong)


def row(name: str, turns: Sequence[tuple[float, float]], *, exact: bool) -> Row:
    """`turns`: of each round, off and on."""
    differences = [on - off for off, on in turns]
    more = statistics.mean(differences)
    half = T_OF_20 * statistics.stdev(differences) / len(turns) ** 0.5
    off, on = (statistics.mean(column) for column in zip(*turns, strict=True))
    return Row(name, off, on, more, more - half, more + half, exact)
