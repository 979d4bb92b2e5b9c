"""Reach the host's Unix sockets without a file: abstract names, as X11, containerd and D-Bus have had."""

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """The names are known; the host's sockets see what arrives."""
    mark = ways.bait["mark"].encode()

    @ways.attempt
    def stream() -> object:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect("\0" + ways.bait["abstract"])
            return link.send(mark)

    @ways.attempt
    def datagram() -> object:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            return link.sendto(mark, "\0" + ways.bait["abstract"] + "-datagrams")

    @ways.attempt
    def half_of_a_pair() -> object:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with one, other:
            return one.sendto(mark, "\0" + ways.bait["abstract"] + "-datagrams")

    @ways.attempt
    def half_of_a_pair_connected_anew() -> object:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with one, other:
            one.connect("\0" + ways.bait["abstract"] + "-datagrams")
            return one.send(mark)

    @ways.look
    def list_of_all_names() -> object:
        with open("/proc/net/unix") as names:
            return [line for line in names if ways.bait["abstract"] in line] and ways.bait["abstract"]
