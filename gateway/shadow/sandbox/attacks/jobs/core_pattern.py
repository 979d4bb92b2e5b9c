"""Have the host's kernel run a program: by the handler of crashes, and by other such settings."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

SETTINGS = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup/release_agent",
    "/sys/fs/cgroup/memory/release_agent",
    "/sys/fs/cgroup/cgroup.procs",
    "/proc/1/oom_score_adj",
    "/proc/self/uid_map",
    "/proc/self/setgroups",
)


def attack(ways: "Ways") -> None:
    """Success is to have one open for writing; nothing is written."""
    for setting in SETTINGS:

        def to_write(path: str = setting) -> object:
            return f"descriptor {os.open(path, os.O_WRONLY)}"

        to_write.__name__ = setting
        ways.attempt(to_write)

    @ways.attempt
    def through_the_root_of_another() -> object:
        return os.open(f"/proc/{ways.bait['victim']}/root{SETTINGS[0]}", os.O_WRONLY)

    @ways.attempt
    def badness_of_own() -> object:
        # Lower than it was started with: others would be killed in its place.
        with open("/proc/self/oom_score_adj", "r+") as file:
            value = int(file.read())
            file.seek(0)
            file.write(str(value - 1))
        return "lowered"
