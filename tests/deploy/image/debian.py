"""A bare Debian 12 root, which stands for the image that the Dockerfile begins with. Made once, and kept.

debian:bookworm-slim is made of the same packages (debootstrap's minbase), with the same files left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

RELEASE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
_SOURCES = (
    f"deb {MIRROR} {RELEASE} main\ndeb {MIRROR} {RELEASE}-updates main\ndeb {MIRROR}-security {RELEASE}-security main\n"
)
# What the slim images leave out, have apt not keep and dpkg not wait for.
_LEFT_OUT = ("doc", "groff", "info", "linda", "lintian", "locale", "man")
_DPKG = (
    "".join(f"path-exclude /usr/share/{name}/*\n" for name in _LEFT_OUT)
    + "path-include /usr/share/doc/*/copyright\nforce-unsafe-io\n"
)
_APT = """\
Acquire::Languages "none";
APT::Keep-Downloaded-Packages "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
_TOOLS = {"debootstrap": "debootstrap", "bwrap": "bubblewrap", "setpriv": "util-linux", "unshare": "util-linux"}


class CannotBuild(Exception):
    """Says what failed, and what to do about it."""


def missing() -> str | None:
    """What this machine lacks to carry out the Dockerfile's steps, and how to get it."""
    if sys.platform != "linux":
        return f"the Dockerfile's steps are run in a Debian root, which needs Linux; this is {sys.platform}"
    if os.geteuid() != 0:
        return "the Dockerfile's steps are run as root in a root of their own: run this as root (sudo make image-check)"
    lacking = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if lacking:
        return f"{', '.join(lacking)} missing: on Debian and Ubuntu apt-get install -y {' '.join(lacking)}"
    return None


def base_root(folder: Path, told: Callable[[str], None]) -> Path:
    """The root in ``folder``, made if it isn't there. Raises CannotBuild."""
    root = folder / RELEASE
    if root.is_dir():
        return root
    told(f"making a bare Debian root in {root} with debootstrap (once; about a minute)")
    part = folder / f".{RELEASE}.part"
    shutil.rmtree(part, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "debootstrap.log"
    with log.open("wb") as output:
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", RELEASE, part, MIRROR],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise CannotBuild(f"debootstrap failed: {last[0] if last else 'no word'}. All of its words: {log}")
    _slim(part)
    part.rename(root)
    return root


def _slim(root: Path) -> None:
    """Leaves out what the slim images leave out, here and in what is installed later."""
    (root / "etc/apt/sources.list").write_text(_SOURCES)
    (root / "etc/apt/apt.conf.d/image").write_text(_APT)
    (root / "etc/dpkg/dpkg.cfg.d/image").write_text(_DPKG)
    for name in ("etc/resolv.conf", "etc/hosts", "etc/hostname"):  # debootstrap copies this machine's
        (root / name).unlink(missing_ok=True)
        (root / name).touch()
    for path in (root / "var/cache/apt/archives").glob("*.deb"):
        path.unlink()
    shutil.rmtree(root / "var/lib/apt/lists")
    (root / "var/lib/apt/lists").mkdir()
    for name in _LEFT_OUT:
        for path in (root / "usr/share" / name).rglob("*"):
            if not path.is_dir() and path.name != "copyright":
                path.unlink()
