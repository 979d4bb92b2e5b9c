"""Leave something for the next job in the same slot: files, shared memory, queues, keys, names, changed settings."""

import os
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

KEY = 0x59530001
PLACES = (
    ".",
    "/",
    "/tmp",
    "/dev/shm",
    "/dev",
    "/run",
    "/var",
    "/var/tmp",
    "/home",
    "/root",
    "/dev/mqueue",
    "/usr",
    "/etc",
)


def attack(ways: "Ways") -> None:
    """Leaves all it can; what of that is found by `afterwards` is success."""
    for place in places():
        try:
            os.close(os.open(f"{place}/{name(ways)}", os.O_CREAT | os.O_WRONLY, 0o666))
        except OSError:
            continue
    for call, arguments in (
        ("shmget", (KEY, 4096, 0o1666)),
        ("semget", (KEY, 1, 0o1666)),
        ("msgget", (KEY, 0o1666)),
        ("mq_open", (name(ways).encode(), os.O_CREAT | os.O_RDWR, 0o666, None)),
        ("add_key", (b"user", name(ways).encode(), b"data", 4, -4)),
    ):
        try:
            ways.syscall(call, *arguments)
        except OSError:
            continue
    keep_a_name(ways)
    sys.modules[name(ways)] = sys
    os.umask(0o777)


def afterwards(ways: "Ways") -> None:
    """The next job looks for what the one before has left."""

    @ways.attempt
    def files() -> object:
        return [place for place in places() if os.path.exists(f"{place}/{name(ways)}")]

    @ways.attempt
    def shared_memory() -> object:
        return str(ways.syscall("shmget", KEY, 4096, 0))

    @ways.attempt
    def semaphores() -> object:
        return str(ways.syscall("semget", KEY, 1, 0))

    @ways.attempt
    def messages() -> object:
        return str(ways.syscall("msgget", KEY, 0))

    @ways.attempt
    def message_queue() -> object:
        return ways.syscall("mq_open", name(ways).encode(), os.O_RDWR, 0, None)

    @ways.attempt
    def key() -> object:
        return ways.syscall("request_key", b"user", name(ways).encode(), None, -4)

    @ways.attempt
    def abstract_name() -> object:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect("\0" + name(ways))
            return "connected"

    @ways.attempt
    def module() -> object:
        return name(ways) in sys.modules

    @ways.attempt
    def mask_of_new_files() -> object:
        return os.umask(0o022) == 0o777


def name(ways: "Ways") -> str:
    """Of everything that is left."""
    return f"left-{ways.bait['mark']}"


def places() -> "list[str]":
    """Folders to try, those of the interpreter and of its libraries as well."""
    return [*PLACES, sys.prefix, *(path for path in sys.path if path)]


def keep_a_name(ways: "Ways") -> None:
    """Held open by a process that wants to outlive the job."""
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\0" + name(ways))
        listener.listen()
        if os.fork() == 0:
            os.setsid()
            while True:
                listener.accept()
    except OSError:
        pass
