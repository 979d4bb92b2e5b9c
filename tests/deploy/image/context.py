"""The files that a build may see: those of the repository less what Dockerfile.dockerignore excludes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from e2b_dockerfile_utils import PatternMatcher


class Context:
    """``folder``: what `docker build` is given. ``ignored``: the text of the file with patterns."""

    def __init__(self, folder: Path, ignored: str) -> None:
        self._folder = folder
        self._ignored = PatternMatcher(ignored.splitlines())

    def files(self, source: str) -> list[Path]:
        """Of a file or a folder, relative to the context; none if it isn't there, is excluded, or lies outside."""
        if ".." in Path(source).parts:
            return []
        start = self._folder / source
        if start.is_file():
            found = iter([start])
        else:
            found = (Path(at) / name for at, folders, names in self._walk(start) for name in names)
        relative = (path.relative_to(self._folder) for path in found)
        return sorted(path for path in relative if not self._ignored.matches(path.as_posix()))

    def copy(self, source: str, target: Path, *, into: bool) -> None:
        """As COPY does: a folder's contents into ``target``, a file to it, or ``into`` it. Raises FileNotFoundError."""
        files = self.files(source)
        if not files:
            raise FileNotFoundError(f"COPY {source}: nothing of that name is in the build's context")
        single = (self._folder / source).is_file()
        for file in files:
            inside = Path(file.name) if into else Path()
            place = target / (inside if single else file.relative_to(os.path.normpath(source)))
            place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            shutil.copy2(self._folder / file, place, follow_symlinks=False)

    def _walk(self, start: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        """Leaves out folders of which nothing can be seen: environments are large."""
        for at, folders, names in os.walk(start):
            here = Path(at).relative_to(self._folder)
            folders[:] = [name for name in folders if self._may_hold_any((here / name).as_posix())]
            yield at, folders, names

    def _may_hold_any(self, folder: str) -> bool:
        return not self._ignored.matches(folder) or self._ignored.may_match_under(folder)
