"""The levels of walls, and what keeps one from starting here."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.job import Job, Kind
from gateway.shadow.sandbox.launch import Level
from gateway.shadow.sandbox.runner import landlock
from gateway.shadow.sandbox.slot import Slot

__all__ = ["Level", "obstacle"]

_MACHINES = ("x86_64", "aarch64")
_OLDEST_BUBBLEWRAP = (0, 8)  # the first that forbids further user namespaces
_OTHER_LEVEL = "or use the level landlock, which needs no namespaces"
_SYSCTL = Path("/proc/sys")


def obstacle(level: Level, python: Path) -> str | None:
    """Why ``level`` can't start here with ``python`` and what to do about it, None if it can: a slot was then started,
    and ran a job."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return f"the sandbox needs Linux on {' or '.join(_MACHINES)}; this is {sys.platform} on {platform.machine()}"
    known = _without_bubblewrap() if level is Level.BUBBLEWRAP else _without_landlock()
    if known is not None:
        return known
    try:
        with Slot(level, python) as slot:
            outcome = slot.run(Job(Kind.PLAIN, 'report({"ran": True})'))
    except SandboxError as error:
        return str(error) + (_namespaces_forbidden(str(error)) if level is Level.BUBBLEWRAP else "")
    if outcome.end != "exited" or outcome.lines != ({"ran": True},):
        return f"a job that only reports did not: it ended as {outcome.end!r}; the log says more"
    return None


def _without_bubblewrap() -> str | None:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return f"bubblewrap is not installed. On Debian and Ubuntu: apt-get install -y bubblewrap; {_OTHER_LEVEL}"
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    if version < _OLDEST_BUBBLEWRAP:
        return (
            f"bubblewrap 0.8 or newer is needed, {said.strip() or bwrap} is older: install a newer one, {_OTHER_LEVEL}"
        )
    return None


def _without_landlock() -> str | None:
    if landlock.abi() > 0:
        return None
    return (
        "this kernel has no Landlock: Linux 5.13 or newer has it, if it was built with CONFIG_SECURITY_LANDLOCK and"
        " `landlock` is in the kernel's lsm= parameter (see /sys/kernel/security/lsm)"
    )


def _namespaces_forbidden(said: str) -> str:
    """What to do if it is user namespaces that failed."""
    if not any(word in said.lower() for word in ("namespace", "uid map", "unshare", "no permissions", "not permitted")):
        return ""
    for name, forbidding, remedy in (
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    ):
        file = _SYSCTL / name
        if file.exists() and file.read_text().strip() == forbidding:
            return f". This machine forbids user namespaces: as root, {remedy}; {_OTHER_LEVEL}"
    return f". In a container user namespaces are mostly forbidden: let it make some, {_OTHER_LEVEL}"
