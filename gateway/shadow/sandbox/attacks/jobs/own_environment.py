"""Find a secret of the gateway's environment in the job's own: its variables, and all of its memory."""

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

SECRET = re.compile(rb"ys-secret-[0-9a-f]{32}")


def attack(ways: "Ways") -> None:
    """What it finds is searched for the secret by the host."""

    @ways.look
    def variables() -> object:
        return dict(os.environ)  # noqa: TID251 (no part of the gateway)

    @ways.look
    def variables_as_started() -> object:
        with open("/proc/self/environ", "rb") as file:
            return file.read().decode(errors="replace")

    @ways.look
    def own_memory() -> object:
        found: set[bytes] = set()
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
            for line in maps:
                fields = line.split()
                start, end = (int(each, 16) for each in fields[0].split("-"))
                if fields[1].startswith("rw") and end - start < 1 << 28:
                    memory.seek(start)
                    try:
                        found.update(SECRET.findall(memory.read(end - start)))
                    except OSError:
                        continue
        return sorted(each.decode() for each in found)
