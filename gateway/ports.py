"""Whether a port can be listened on and, if not, which process holds it (Linux: read from /proc, best effort)."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_LISTEN = "0A"
_PROC = Path("/proc")
Address = IPv4Address | IPv6Address


class PortUnavailable(Exception):
    """The message says who holds the port and what to do."""


@dataclass(frozen=True, slots=True)
class Holder:
    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})"


def ensure_free(host: str, port: int) -> None:
    """Bind once and let go, so that a taken port is told before anything is started. Raises PortUnavailable."""
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise PortUnavailable(f"{host} cannot be resolved: {error.strerror}. Use --host with an address") from None
    for family, kind, protocol, _, address in dict.fromkeys(addresses):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise PortUnavailable(_refusal(str(address[0]), port, error)) from None


def holder_of(address: str, port: int) -> Holder | None:
    """The process that listens on this port of this address, if this user may see it."""
    inodes = set(_listening_inodes(ip_address(address.partition("%")[0]), port))
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in _PROC.iterdir():
        if process.name.isdigit() and _has_open(process, wanted):
            return Holder(int(process.name), _command(process))
    return None


def _refusal(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        found = holder_of(address, port) if sys.platform == "linux" else None
        who = f"by {found}" if found else "by a process of another user or another container"
        remedy = "Choose another port with --port, or end that process"
        return f"port {port} on {address} is taken {who}. {remedy}"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges that this user does not have. Choose one from 1024 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is no address of this machine. Choose one with --host, such as 127.0.0.1"
    return f"port {port} on {address} cannot be listened on: {error.strerror}. Choose another with --port"


def _listening_inodes(address: Address, port: int) -> Iterator[str]:
    """Inodes of the listeners that stand in the way: on this port, of this address or of all."""
    for table in ("tcp", "tcp6"):
        try:
            rows = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            place, _, number = fields[1].partition(":")
            if fields[3] != _LISTEN or int(number, 16) != port:
                continue
            theirs = _address(place)
            if theirs == address or theirs.is_unspecified or address.is_unspecified:
                yield fields[9]


def _address(place: str) -> Address:
    """The kernel writes an address as hexadecimal 32-bit words in the machine's byte order."""
    words = (int(place[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(place), 8))
    packed = b"".join(words)
    if len(packed) == 4:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


def _has_open(process: Path, wanted: set[str]) -> bool:
    try:
        return any(_target(descriptor) in wanted for descriptor in (process / "fd").iterdir())
    except OSError:
        return False  # ended meanwhile, or another user's


def _target(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)
    except OSError:
        return ""


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return "unknown command"
    line = " ".join(word.decode("utf-8", "replace") for word in words)
    printable = "".join(char if char.isprintable() else "?" for char in line)
    return printable if len(printable) <= 120 else printable[:117] + "..."
