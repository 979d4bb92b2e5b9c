"""Use up what a folder costs the kernel beside its bytes: a million empty files, and folders in folders."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

WANTED = 200_000


def attack(ways: "Ways") -> None:
    """Stops at the first refusal; how many there were is for the host to judge."""
    for folder in (".", "/dev/shm"):
        try:
            os.mkdir(f"{folder}/many")
        except OSError as error:
            ways.report({"way": f"folder in {folder}", "refused": str(error)})
            continue
        for count in range(WANTED):
            try:
                os.mknod(f"{folder}/many/{count}")
            except OSError as error:
                ways.report({"way": f"file in {folder}", "refused": str(error)})
                break
            if count % 2_000 == 0:
                ways.count("entries", count)
        ways.count("entries", count)
