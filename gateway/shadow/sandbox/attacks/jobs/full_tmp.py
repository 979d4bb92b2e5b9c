"""Fill /tmp: one large file, many, many small ones, and files that have no name any more."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

PIECE = b"\1" * (1 << 20)
A_FILE = 8 << 20  # below what one file may have


def attack(ways: "Ways") -> None:
    """Counts what is held at once. It gives up far beyond what it may have: more would prove no more."""
    most = 32 * ways.bait["files"]
    held = 0
    for index, folder in enumerate((".", "/tmp", "/dev/shm", "/var/tmp", "/run")):
        try:
            for number in range(most // A_FILE):
                if held >= most:
                    return
                name = f"{folder}/fill-{index}-{number}"
                file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                if number % 2:
                    os.unlink(name)
                for _ in range(A_FILE // len(PIECE)):
                    held += os.write(file, PIECE)
                    ways.count("bytes", held)
        except OSError as error:
            ways.report({"way": f"file in {folder}", "refused": str(error)})
