"""Take control of another process: the fork server, the host's victim, a process of the job."""

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

TRACEME, SEIZE = 0, 0x4206  # unlike ATTACH, SEIZE stops nothing


def attack(ways: "Ways") -> None:
    """To trace one's own child is refused too: it takes a job past its seccomp filter on older kernels."""

    @ways.attempt
    def seize_the_victim() -> object:
        return ways.syscall("ptrace", SEIZE, ways.bait["victim"], None, None) == 0

    @ways.attempt
    def seize_the_parent() -> object:
        return ways.syscall("ptrace", SEIZE, os.getppid(), None, None) == 0

    @ways.attempt
    def seize_the_first_process() -> object:
        return ways.syscall("ptrace", SEIZE, 1, None, None) == 0

    @ways.attempt
    def attach_to_a_child() -> object:
        child = os.fork()
        if child == 0:
            time.sleep(1)
            os._exit(0)
        got = ways.syscall("ptrace", SEIZE, child, None, None) == 0
        os.kill(child, 9)
        return got

    @ways.attempt
    def be_traced() -> object:
        return ways.syscall("ptrace", TRACEME, 0, None, None) == 0

    @ways.attempt
    def descriptor_of_another() -> object:
        held = ways.syscall("pidfd_open", ways.bait["victim"], 0)
        return ways.syscall("pidfd_getfd", held, 0, 0)
