"""What an attack's source finds in its job as ``ways``. It runs by itself (Python 3.10+).

An attack tries several ways. What each of them got is reported as one line; the verdict is the host's (``verdict.py``).
"""

import ctypes
import json
import os
import platform
import select
import signal
from collections.abc import Callable
from typing import Any

# On x86-64 and on 64-bit Arm.
NUMBERS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "connect": (42, 203),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioprio_get": (252, 31),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "madvise": (28, 233),
    "memfd_create": (319, 279),
    "migrate_pages": (256, 238),
    "mmap": (9, 222),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "munmap": (11, 215),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "prlimit64": (302, 261),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "semget": (64, 190),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "shmat": (30, 196),
    "shmget": (29, 194),
    "socket": (41, 198),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vmsplice": (278, 75),
}
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_PATIENCE = 3.0  # seconds for one way: those that hang have not been refused


def number(name: str) -> int:
    """Of a call, on this processor."""
    return NUMBERS[name][platform.machine() in ("aarch64", "arm64")]


class Ways:
    """``bait``: what the host laid out and what an attacker may know of it (never the secrets)."""

    def __init__(self, bait: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> None:
        self.bait = bait
        self.report = report

    def attempt(self, way: Callable[[], object]) -> None:
        """Try one way, in a process of its own, as it may be killed for it. Got through if it returns something true.

        An OSError or MemoryError is a refusal; any other exception says that the attack itself is broken.
        """
        self._line(way, "got")

    def look(self, way: Callable[[], object]) -> None:
        """As `attempt`, for ways to see something: what it returns is success only if there is a secret in it."""
        self._line(way, "seen")

    def here(self, way: Callable[[], object]) -> None:
        """As `attempt`, in the job's first process, for what has to last."""
        self.report({"way": _name(way), **_outcome(way, "got")})

    def count(self, figure: str, value: float) -> None:
        """How much of something was had so far; the host knows how much is too much."""
        self.report({"figure": figure, "value": value})

    def syscall(self, name: str, *arguments: Any) -> int:
        """By its number, around whatever libc does. Raises OSError."""
        words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
        result: int = _LIBC.syscall(ctypes.c_long(number(name)), *words)
        if result == -1:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), name)
        return result

    def _line(self, way: Callable[[], object], kind: str) -> None:
        end, other = os.pipe()
        try:
            child = os.fork()
        except OSError as error:
            self.report({"way": _name(way), "broken": f"could not be tried: {error}"})
            return
        if child == 0:
            os.close(end)
            document = json.dumps(_outcome(way, kind)).encode()
            while document:
                document = document[os.write(other, document) :]
            os._exit(0)
        os.close(other)
        self.report({"way": _name(way), **_answer(child, end)})


def _outcome(way: Callable[[], object], kind: str) -> dict[str, Any]:
    try:
        result = way()
    except (OSError, MemoryError) as error:
        return {"refused": str(error)[:200] or type(error).__name__}
    except BaseException as error:
        return {"broken": f"{type(error).__name__}: {error}"[:500]}
    return {kind: str(result)[:20_000]} if result else {"refused": "nothing there"}


def _answer(child: int, end: int) -> dict[str, Any]:
    """The line of one child, whatever has become of it."""
    text = b""
    while True:
        ready, _, _ = select.select([end], [], [], _PATIENCE)
        piece = os.read(end, 65536) if ready else b""
        if not piece:
            break
        text += piece
    os.close(end)
    if not ready:
        try:
            os.kill(child, signal.SIGKILL)
        except OSError:
            pass
        return {"broken": "no answer in time"}
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"refused": f"killed: {signal.Signals(os.WTERMSIG(status)).name}"}
    try:
        line: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"broken": f"ended with {os.WEXITSTATUS(status)} before it answered"}
    return line


def _name(way: Callable[[], object]) -> str:
    return way.__name__.strip("_").replace("_", " ")


def carry_out(attack: Callable[[Ways], None], ways: Ways) -> None:
    """Run one attack to its end, and say that it got there. All its processes bear its mark, for the host to find."""
    name = ctypes.create_string_buffer(ways.bait["mark"].encode(), 16)
    if _LIBC.prctl(15, name, 0, 0, 0) or _LIBC.prctl(16, name, 0, 0, 0) or name.value.decode() != ways.bait["mark"]:
        ways.report({"way": "bear the mark", "broken": "the process could not be named"})
    try:
        attack(ways)
    except BaseException as error:
        ways.report({"way": attack.__name__, "broken": f"{type(error).__name__}: {error}"[:500]})
    ways.report({"done": True})
