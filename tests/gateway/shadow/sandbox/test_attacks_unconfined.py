"""Every attack succeeds where there are no walls: one that can't succeed anywhere would prove nothing.

Left out are those that would harm this machine without walls, or need none to be seen to work (endless loops).
"""

from __future__ import annotations

import os
import platform
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.shadow.sandbox.attacks import ATTACKS, MIB, Attack, Second
from gateway.shadow.sandbox.attacks.bait import Bait, processes_named
from gateway.shadow.sandbox.attacks.verdict import Row, judge
from tests.gateway.shadow.sandbox import unconfined

HARMFUL = {
    "external_network": "sends where there is a network",
    "full_tmp": "fills the machine's folders",
    "many_files": "fills the machine's folders",
    "output": "has no host that reads it here",
    "own_tests": "signals every process",
    "forking_daemon": "hard to end",
    "infinite_loop": "needs no proof",
    "signal_proof_loop": "needs no proof",
    "loop_of_short_lives": "needs no proof",
    "sleep": "needs no proof",
    "stopped": "needs no proof",
}
TRIED = [attack for attack in ATTACKS if attack.file not in HARMFUL]
if platform.machine() != "x86_64":
    TRIED = [attack for attack in TRIED if attack.file != "other_call_numbers"]  # there are none


def tried(attack: Attack, folder: Path) -> Row:
    """With little memory and few processes, so that all of it may be had."""
    with Bait() as bait:
        mark = bait.mark(1)
        given = bait.given(mark, alone=True, forks=60, memory=32 * MIB, files=4 * MIB)
        outcome = unconfined.run(
            attack,
            given,
            folder,
            bait.planted(),
            read_only=attack.second is not Second.NONE,
            at_once=attack.second is Second.SIBLING,
        )
        evidence = bait.evidence(mark)
        for pid in processes_named(mark):
            os.kill(pid, signal.SIGKILL)
        small = replace(attack, bounds={name: 40 * MIB if name == "bytes" else 32 for name in attack.bounds})
        return judge(small, [outcome], evidence, bait.secrets)


@pytest.mark.parametrize("attack", TRIED, ids=lambda attack: attack.file)
def test_succeeds_without_walls(attack: Attack, tmp_path: Path) -> None:
    row = tried(attack, tmp_path)
    assert not row.stopped
    assert "not proven" not in row.how
