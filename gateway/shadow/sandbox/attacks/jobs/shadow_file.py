"""Read the password hashes of the host."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

NAMES = ("shadow", "shadow-", "gshadow", "sudoers", "ssh/ssh_host_ed25519_key")


def attack(ways: "Ways") -> None:
    """By every path that could lead there."""

    @ways.attempt
    def etc() -> object:
        return first("/etc")

    @ways.attempt
    def root_of_the_first_process() -> object:
        return first("/proc/1/root/etc")

    @ways.attempt
    def root_of_the_parent() -> object:
        return first(f"/proc/{os.getppid()}/root/etc")

    @ways.attempt
    def up_from_here() -> object:
        return first("../" * 30 + "etc")

    @ways.attempt
    def as_root() -> object:
        os.setuid(0)
        return first("/etc")


def first(folder: str) -> object:
    """The first of the files that opens; raises the last refusal."""
    refused: OSError | None = None
    for name in NAMES:
        try:
            with open(f"{folder}/{name}", "rb") as file:
                return name if file.read() else None
        except OSError as error:
            refused = error
    raise refused or OSError("none tried")
