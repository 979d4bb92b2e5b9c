"""Signal processes that are not the job's: one of the host, the fork server, a sibling slot, all at once."""

import fcntl
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """The host's victim is to die; all others get SIGURG, which does nothing to those that don't ask for it."""
    signals(ways, ways.bait["victim"], ways.bait["host"])
    signals_by_other_calls(ways, ways.bait["victim"])
    other_power(ways, ways.bait["victim"])


def signals(ways: "Ways", victim: int, host: int) -> None:
    @ways.attempt
    def kill_the_victim() -> object:
        os.kill(victim, signal.SIGKILL)
        return "sent"

    @ways.attempt
    def signal_the_gateway() -> object:
        os.kill(host, 0)
        return "allowed"

    @ways.attempt
    def signal_slots() -> object:
        return [pid for pid in ways.bait["slots"] if allowed(pid)]

    @ways.attempt
    def kill_the_fork_server() -> None:
        if not ways.bait["alone"]:
            kill_ancestors()  # the first of a PID namespace is told so, and lives: only the host can tell

    @ways.attempt
    def signal_everyone() -> None:
        os.kill(-1, signal.SIGURG)  # reaches the job's own, so only the victim can tell

    @ways.attempt
    def signal_the_group_of_the_victim() -> object:
        os.killpg(victim, signal.SIGURG)
        return "sent"


def signals_by_other_calls(ways: "Ways", victim: int) -> None:
    @ways.attempt
    def signal_a_thread() -> object:
        ways.syscall("tkill", victim, int(signal.SIGURG))
        return "sent"

    @ways.attempt
    def signal_a_thread_of_a_group() -> object:
        ways.syscall("tgkill", victim, victim, int(signal.SIGURG))
        return "sent"

    @ways.attempt
    def descriptor_of_a_process() -> object:
        held = ways.syscall("pidfd_open", victim, 0)
        ways.syscall("pidfd_send_signal", held, int(signal.SIGURG), None, 0)
        return "sent"

    @ways.attempt
    def signal_of_a_pipe() -> None:
        # The kernel sends it, on behalf of the owner of a descriptor that becomes readable.
        end, other = os.pipe()
        fcntl.fcntl(end, fcntl.F_SETOWN, victim)
        fcntl.fcntl(end, 10, int(signal.SIGURG))  # F_SETSIG
        fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        os.write(other, b"x")  # whether it arrives only the victim can tell


def other_power(ways: "Ways", victim: int) -> None:
    @ways.attempt
    def limits_of_another() -> object:
        return ways.syscall("prlimit64", victim, 7, None, None) == 0

    @ways.attempt
    def priority_of_another() -> object:
        os.setpriority(os.PRIO_PROCESS, victim, 19)
        return "lowered"

    @ways.attempt
    def priority_of_all_of_a_user() -> None:
        # To what nearly everyone has, so that it harms no one; the victim alone has another one, and the host looks.
        ways.syscall("ioprio_set", 3, 0, 2 << 13 | 4)

    @ways.attempt
    def processors_of_another() -> object:
        os.sched_setaffinity(victim, os.sched_getaffinity(0))
        return "set"


def allowed(pid: int) -> bool:
    """Whether a signal would be sent."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def kill_ancestors() -> None:
    """What is above this attempt's own parent: of the job itself, or the fork server."""
    with open(f"/proc/{os.getppid()}/stat") as file:
        parent = int(file.read().rpartition(")")[2].split()[1])
    if parent:
        for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
            os.kill(parent, number)
