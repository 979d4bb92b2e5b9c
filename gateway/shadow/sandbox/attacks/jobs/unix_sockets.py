"""Reach a host's service by its socket file, as a container runtime's."""

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """The host's listener sees what arrives."""
    path, mark = ways.bait["socket"], ways.bait["mark"].encode()

    @ways.attempt
    def connect() -> object:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(path)
            return link.send(mark)

    @ways.attempt
    def connect_through_the_root_of_another() -> object:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(f"/proc/{ways.bait['victim']}/root{path}")
            return link.send(mark)

    @ways.attempt
    def services_of_this_machine() -> object:
        found = []
        for service in ("/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket"):
            with socket.socket(socket.AF_UNIX) as link:
                if os.path.exists(service):
                    link.connect(service)
                    found.append(service)
        return found
