"""pip of an environment: installs files of pins, tells how far it is, and says in words why it could not."""

from __future__ import annotations

import re
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.config import environment_with

# --no-deps: the pins are complete. Settings of who runs it (an index of their own, a proxy) hold, but not those that
# would put packages elsewhere.
_INSTALL = (
    *("install", "--no-deps", "--require-hashes", "--no-build-isolation", "--only-binary", ":all:"),
    *("--no-input", "--no-color", "--progress-bar", "off", "--disable-pip-version-check", "--no-warn-script-location"),
)
_SETTINGS = {"PIP_USER": "0", "PIP_QUIET": "0", "PIP_TARGET": "", "PIP_PREFIX": "", "PIP_REQUIRE_VIRTUALENV": "0"}
_FOUND = re.compile(
    r"^Collecting ([A-Za-z0-9._-]+)|^Processing \S*/([A-Za-z0-9._]+?)-[0-9]"
)  # in an index; in a folder
_IGNORED = re.compile(r"^Ignoring ([A-Za-z0-9._-]+): markers ")
_INSTALLING = "Installing collected packages"
_LAST_LINES = 40
_REASONS = (
    (r"No space left on device", "the disk is full"),
    (
        r"DO NOT MATCH THE HASHES",
        "a package is not the one that was pinned: the index, or what stands before it, serves another file",
    ),
    (
        r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Connection ?reset",
        "the package index cannot be reached: check the network, and pip's settings (`pip config list`)",
    ),
    (
        r"No matching distribution found for (?P<what>\S+)",
        "the index has no {what} for this Python and machine: name another Python with --python, or another index in"
        " pip's settings",
    ),
    (r"Failed building wheel for (?P<what>\S+)", "{what} could not be built"),
)


class SetupError(Exception):
    """The environment could not be made; the message says why and what to do."""


class Pip:
    """``log`` gets everything that it says; ``found`` each package, its number, and how many there are."""

    def __init__(self, python: Path, log: Path, found: Callable[[str, int, int], None]) -> None:
        self._python = python
        self._log = log
        self._found = found

    @property
    def folder(self) -> Path:
        return self._log.parent

    def install(self, file: Path, *, sdists: Sequence[str] = (), target: Path | None = None) -> None:
        """Raises SetupError."""
        command = [str(self._python), "-I", "-m", "pip", *_INSTALL, "--requirement", str(file)]
        command += ["--no-binary", ",".join(sdists)] if sdists else []
        command += ["--target", str(target)] if target else []
        total = sum(1 for line in file.read_text(encoding="utf-8").splitlines() if re.match(r"[a-z0-9]", line))
        last: deque[str] = deque(maxlen=_LAST_LINES)
        number = 0
        with (
            self._log.open("a", encoding="utf-8") as log,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment_with(_SETTINGS),
                umask=0o022,
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                last.append(line)
                if _IGNORED.match(line):
                    total -= 1
                elif name := _FOUND.match(line):
                    number += 1
                    self._found(name[1] or name[2], number, total)
                elif line.startswith(_INSTALLING):
                    self._found(f"unpacking {number} packages", number, total)
        if process.returncode:
            raise SetupError(f"{_reason(''.join(last))}. All of pip's words: {self._log}")

    def count(self) -> int:
        """How many packages there are."""
        return len(list(self.folder.glob("lib/python*/site-packages/*.dist-info")))

    def python_says(self, code: str, *arguments: str, environment: dict[str, str]) -> str:
        """What ``code`` has to complain of, in its last line; nothing if it ended well."""
        command = [str(self._python), "-I", "-c", code, *arguments]
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment_with(environment),
            umask=0o022,
            check=False,
        )
        if ran.returncode == 0:
            return ""
        return (ran.stderr.strip().splitlines() or [f"Python ended with {ran.returncode}"])[-1]


def _reason(said: str) -> str:
    for pattern, reason in _REASONS:
        if found := re.search(pattern, said):
            return reason.format(**found.groupdict())
    lines = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines() or ["no word"]
    return f"pip failed: {lines[-1][:400]}"
