"""Attacks on the sandbox: what each tries, and what it may not get. Their sources are in ``jobs/``, one file each.

An attack is run as a plain job. Its file has ``attack(ways)``; some have a second part, run as the next job of the
same slot (``afterwards``) or at the same time in another slot (``beside``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.shadow.sandbox.job import Kind, Limits

MIB = 1024 * 1024
_HERE = Path(__file__).parent
_TESTS = """
import unittest

class TestCases(unittest.TestCase):
    def test_value(self):
        self.assertEqual(task_func(), {expected!r})
"""


class Second(StrEnum):
    """A second job of an attack, and when it runs."""

    NONE = ""
    NEXT = "afterwards"
    SIBLING = "beside"


@dataclass(frozen=True, slots=True)
class Attack:
    """``tries`` completes "a job tries to". ``ends``: of these ends of its job, each says that it was stopped.

    ``bounds``: the most that it may have of what it counts (beyond the limit, where that is watched: so much may be had
    between two looks). A job that is not ended must get through its whole list.
    """

    name: str
    tries: str
    file: str
    limits: Limits = Limits(cpu=8, wall=20, memory=1024 * MIB, processes=32, files=32 * MIB)  # noqa: RUF009 (frozen)
    ends: frozenset[str] = frozenset()
    bounds: Mapping[str, float] = field(default_factory=dict)
    second: Second = Second.NONE
    kind: Kind = Kind.PLAIN

    def source(self, given: Mapping[str, Any], part: str = "attack") -> str:
        """The job's program. ``given`` is plain data; what is secret must not be in it."""
        own = (_HERE / "jobs" / f"{self.file}.py").read_text()
        if self.kind is not Kind.PLAIN:
            return own
        return f"{(_HERE / 'ways.py').read_text()}\n{own}\ncarry_out({part}, Ways({dict(given)!r}, report))\n"

    def task(self, expected: str) -> dict[str, Any]:
        """The tests that a candidate of kind `separate` attacks: they pass if it answers ``expected``."""
        if self.kind is Kind.PLAIN:
            return {}
        return {
            "prelude": "",
            "tests": _TESTS.format(expected=expected),
            "entry_point": "task_func",
            "names": ["test_value"],
        }


_LOOP = Limits(cpu=0.3, wall=3, memory=256 * MIB, processes=32, files=32 * MIB)
_IDLE = Limits(cpu=2, wall=0.4, memory=256 * MIB, processes=32, files=32 * MIB)
_MEMORY = Limits(cpu=8, wall=20, memory=256 * MIB, processes=32, files=32 * MIB)
_FILES = Limits(cpu=8, wall=20, memory=512 * MIB, processes=32, files=32 * MIB)
_ENDED = frozenset(("cpu", "wall"))

# The list that was made when walls were compared; names and order as there.
LISTED = (
    Attack("loopback network", "reach ports of the host's own address", "loopback_network"),
    Attack("external network", "leave the machine", "external_network"),
    Attack("abstract sockets", "reach the host's sockets that have no file", "abstract_sockets"),
    Attack("shadow file", "read the host's password hashes", "shadow_file"),
    Attack("own environment", "find the gateway's secrets in its own variables and memory", "own_environment"),
    Attack("parent's environment", "read the variables of other processes", "parents_environment"),
    Attack("host files", "read a file of the host that is open to all", "host_files"),
    Attack("write outside", "write into folders of the host and of the system", "write_outside"),
    Attack(
        "3,000 forks",
        "start 3,000 processes, and as many threads",
        "fork_bomb",
        bounds={"processes": 48, "threads": 48},
    ),
    Attack(
        "10 GB of memory",
        "use more memory than it may, over several processes",
        "memory",
        limits=_MEMORY,
        ends=frozenset(("memory",)),
        bounds={"bytes": 768 * MIB},  # 512 but for a machine so busy that looks come late: 528 were seen
    ),
    Attack(
        "full /tmp",
        "fill every folder it can write to, by files without a name too",
        "full_tmp",
        limits=_FILES,
        ends=frozenset(("files", "memory")),
        bounds={"bytes": 512 * MIB},
    ),
    Attack("kill", "signal the host, the fork server, everyone", "kill"),
    Attack("ptrace", "trace another process", "ptrace"),
    Attack("other's memory", "read and write another process's memory", "others_memory"),
    Attack("infinite loop", "compute for ever", "infinite_loop", limits=_LOOP, ends=_ENDED),
    Attack("signal-proof loop", "compute for ever, deaf to signals", "signal_proof_loop", limits=_LOOP, ends=_ENDED),
    Attack(
        "1 GB of output",
        "fill the host's memory with its output",
        "output",
        limits=Limits(cpu=8, wall=20, memory=256 * MIB, processes=32, files=32 * MIB),
        ends=frozenset(("exited", "files", "memory", "cpu")),
    ),
    Attack("left daemon", "leave a process behind", "daemon"),
    Attack("nested user namespace", "become root in a namespace of its own", "nested_user_namespace"),
    Attack("mount", "mount, remount, unmount", "mount"),
    Attack("core_pattern", "set what the kernel runs at a crash, and the like", "core_pattern"),
    Attack("io_uring", "make calls that no filter sees", "io_uring"),
    Attack("keyring, bpf, userfaultfd", "use the kernel's keyrings, programs and faults", "keyring_bpf_userfaultfd"),
    Attack("process listing", "see what the host runs", "process_listing"),
    Attack("setuid binary", "become another user, or gain capabilities", "setuid_binary"),
    Attack("overwriting the interpreter", "change what later jobs run", "interpreter"),
)

FURTHER = (
    Attack("unix sockets", "reach a service of the host by its socket file", "unix_sockets"),
    Attack("descriptors", "use what was left open for it", "descriptors"),
    Attack("next job", "leave something for the next job of its slot", "next_job", second=Second.NEXT),
    Attack("sibling slot", "reach a job in another slot", "sibling_slot", second=Second.SIBLING),
    Attack("own tests", "find the value that its tests expect, in another process", "own_tests", kind=Kind.SEPARATE),
    Attack("rarely used calls", "reach parts of the kernel that no test needs", "rare_calls"),
    Attack("other call numbers", "make calls by 32-bit and x32 numbers", "other_call_numbers"),
    Attack(
        "hidden memory",
        "hold memory that no process is charged with",
        "hidden_memory",
        limits=_MEMORY,
        ends=frozenset(("memory", "files")),
        bounds={"bytes": 512 * MIB},
    ),
    Attack(
        "many files",
        "use up what files cost beside their bytes",
        "many_files",
        limits=_FILES,
        ends=frozenset(("files", "memory", "cpu")),
        bounds={"entries": 100_000},
    ),
    Attack(
        "kernel objects",
        "use up descriptors, watches, queues; raise its limits",
        "kernel_objects",
        bounds={"descriptors": 4096, "watches": 512, "queues": 256},
    ),
    Attack(
        "short lives",
        "compute for ever in processes that end at once",
        "loop_of_short_lives",
        limits=_LOOP,
        ends=_ENDED,
    ),
    Attack("sleep", "wait for ever", "sleep", limits=_IDLE, ends=_ENDED),
    Attack("stopped processes", "stop itself, so that it can't end", "stopped", limits=_IDLE, ends=_ENDED),
    Attack("forking daemon", "fork faster than it is killed", "forking_daemon", limits=_LOOP, ends=_ENDED),
)
ATTACKS = LISTED + FURTHER
