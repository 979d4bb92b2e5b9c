"""1 GB of output: to the standard streams, to the terminal, to the report."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

WANTED = 1 << 30
PIECE = b'{"x": "' + b"x" * ((1 << 20) - 10) + b'"}\n'


def attack(ways: "Ways") -> None:
    """The host counts what it kept, and what that did to its own memory."""
    for stream in (1, 2):
        for _ in range(WANTED // len(PIECE) // 16):
            try:
                os.write(stream, PIECE)
            except OSError:
                break
    for terminal in ("/dev/tty", "/dev/console", "/dev/kmsg", "/dev/pts/0"):
        try:
            held = os.open(terminal, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            ways.report({"way": f"write to {terminal}", "refused": str(error)})
        else:
            ways.report({"way": f"write to {terminal}", "got": f"descriptor {held}"})
    ways.report({"done": True})
    for _ in range(WANTED // len(PIECE)):
        ways.report({"x": "x" * (1 << 20)})
