"""Leave the machine. The addresses are of a network that does not exist (TEST-NET-1), and nothing is sent."""

import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

ADDRESSES = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def attack(ways: "Ways") -> None:
    """Without walls `connect` on UDP succeeds, as there is a route. Only if it fails is TCP tried, which would send."""

    @ways.attempt
    def route_for_udp() -> object:
        return routed()

    if routed():
        return

    @ways.attempt
    def tcp() -> object:
        with socket.socket() as link:
            link.setblocking(False)
            refused = link.connect_ex((ADDRESSES[0][1], 443))
            if refused and refused != 115:  # EINPROGRESS: on its way
                raise OSError(refused, "refused at once")
            return "not refused at once"

    @ways.attempt
    def name_of_a_host() -> object:
        try:
            return socket.getaddrinfo("yardstick.invalid", 443)
        except socket.gaierror as error:
            raise OSError(str(error)) from None

    @ways.attempt
    def raw_ip() -> object:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, 1):
            return "a raw socket, which sends anything where there is a route" if routed() else None

    @ways.attempt
    def packets() -> object:
        with socket.socket(17, socket.SOCK_RAW, 0x0300) as link:  # AF_PACKET: reads and writes frames
            return select.select([link], [], [], 0)[0]


def routed() -> bool:
    """Whether the kernel knows a way out of here."""
    for family, address in ADDRESSES:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as link:
                link.connect((address, 9))
        except OSError:
            continue
        return True
    return False
