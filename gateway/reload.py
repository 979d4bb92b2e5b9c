"""Where the configuration comes from, whether it has changed, and what keeps a changed one from being taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Config
from gateway.config_document import ConfigError
from gateway.config_file import Flags, load
from gateway.generation import Material

PERIOD = 1.0  # seconds between looks at the files
FIXED = ("host", "port", "workers", "access_log", "shadow")

Stat = Callable[[Path], object]


class Refused(ValueError):
    """A configuration that is not taken. The message says where and why, in one line."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, flags that override it, or both. Without a file only keys and tokenizers can change."""

    path: Path | None
    flags: Flags

    def read_again(self, before: Material) -> Material:
        """What the files say now, all of it valid. Raises Refused. Takes seconds if a tokenizer is new."""
        try:
            config = load(self.path, self.flags).config
            _require_unchanged(before.config, config)
            return Material.read(config, before)
        except ConfigError as error:
            raise Refused("; ".join(str(problem) for problem in error.problems)) from None
        except Refused as error:
            raise Refused(f"{self.path}: {error}") from None
        except ValueError as error:  # a tokenizer or a key file
            raise Refused(str(error)) from None

    def files(self, config: Config) -> list[Path]:
        """What is looked at for changes. A changed tokenizer is found when one of these changes, or at SIGHUP."""
        keys = [Path(config.api_key_file)] if config.api_key_file else []
        return [*keys, self.path] if self.path is not None else keys

    @property
    def name(self) -> str:
        return str(self.path) if self.path is not None else "the command line"


def _require_unchanged(before: Config, after: Config) -> None:
    for name in FIXED:
        old, new = getattr(before, name), getattr(after, name)
        if old != new and name == "shadow":  # its store's address may hold a password
            raise Refused("shadow can't change while running: restart for that, or change it back")
        if old != new:
            raise Refused(f"{name} is {old} and can't become {new} while running: restart for that, or change it back")


def refusal(error: Exception) -> str:
    """The line that says what became of a configuration that is not taken."""
    said = str(error) if isinstance(error, ValueError) else f"the configuration cannot be taken: {error!r}"
    return f"{said} (not reloaded: the configuration before it stays)"


def signature(path: Path) -> object:
    """Another one when a file was written, replaced, or the symbolic link on the way to it was (as Kubernetes does)."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Watch:
    """Tells when files have changed and stay as they are: one that is being written is left alone until the next look.

    `look` is to be called once a period.
    """

    def __init__(self, files: Iterable[Path], stat: Stat = signature) -> None:
        self._stat = stat
        self.follow(files)

    def follow(self, files: Iterable[Path]) -> None:
        """From now on these files, as they are."""
        self._files = list(files)
        self._known = self._last = self._signatures()

    def change_to(self, files: Iterable[Path]) -> None:
        """The same as `follow` where these are others than before."""
        files = list(files)
        if files != self._files:
            self.follow(files)

    def look(self) -> bool:
        """Whether there is something new since it was last said."""
        before, self._last = self._last, self._signatures()
        if self._last == self._known or self._last != before:
            return False
        self._known = self._last
        return True

    def _signatures(self) -> list[object]:
        return [self._stat(path) for path in self._files]
