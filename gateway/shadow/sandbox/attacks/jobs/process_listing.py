"""See which processes the host runs, and with which arguments."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """What it finds is searched by the host for the secret that is in its victim's arguments."""
    victim = ways.bait["victim"]

    @ways.look
    def listing() -> object:
        return [arguments(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()]

    @ways.look
    def by_number() -> object:
        return [arguments(pid) for pid in range(victim - 20, victim + 20)]

    @ways.look
    def the_victim() -> object:
        with open(f"/proc/{victim}/cmdline", "rb") as file:
            return file.read().decode(errors="replace")

    @ways.attempt
    def state_of_the_victim() -> object:
        with open(f"/proc/{victim}/stat") as file:
            return file.read(100)

    @ways.attempt
    def views_of_the_whole_machine() -> object:
        return [
            path for path in ("/proc/kmsg", "/proc/kcore", "/proc/timer_list", "/proc/sched_debug") if readable(path)
        ]


def arguments(pid: int) -> str:
    """Empty where there are none to see."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(500).decode(errors="replace")
    except OSError:
        return ""


def readable(path: str) -> bool:
    """Whether it opens and gives a byte."""
    try:
        with open(path, "rb", 0) as file:
            os.set_blocking(file.fileno(), False)
            return bool(file.read(1))
    except OSError:
        return False
