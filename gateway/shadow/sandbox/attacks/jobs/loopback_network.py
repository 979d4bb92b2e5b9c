"""Reach the host's own ports: a TCP and a UDP listener on its loopback address."""

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """Connects, sends and binds; what arrives is seen by the host's listeners."""
    port, mark = ways.bait["tcp"], ways.bait["mark"].encode()

    @ways.attempt
    def tcp() -> object:
        with socket.create_connection(("127.0.0.1", port), 1) as link:
            link.sendall(mark)
            return "connected"

    @ways.attempt
    def fast_open() -> object:
        with socket.socket() as link:
            return link.sendto(mark, 0x20000000, ("127.0.0.1", port))

    @ways.attempt
    def every_address_of_this_host() -> object:
        with socket.create_connection(("0.0.0.0", port), 1) as link:
            link.sendall(mark)
            return "connected"

    @ways.attempt
    def mapped_into_ipv6() -> object:
        with socket.socket(socket.AF_INET6) as link:
            link.connect(("::ffff:127.0.0.1", port))
            link.sendall(mark)
            return "connected"

    @ways.attempt
    def udp() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as link:
            link.sendto(mark, ("127.0.0.1", ways.bait["udp"]))
        # Also succeeds in a network of one's own, so the host's listener is the judge.

    @ways.attempt
    def multipath_tcp() -> object:
        with socket.socket(proto=262) as link:
            link.connect(("127.0.0.1", port))
            link.sendall(mark)
            return "connected"

    @ways.attempt
    def kernel_virtual_machine_socket() -> object:
        with socket.socket(40, socket.SOCK_STREAM) as link:
            link.settimeout(1)
            link.connect((2, port))
            return "connected"
