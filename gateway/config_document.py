"""A YAML configuration file that knows where each setting stands, and the problems that name those positions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from gateway.config_problems import Finding, SettingPath


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. ``line`` and ``column`` count from 1; all three are None for what came from a flag."""

    setting: str
    message: str
    severity: Literal["error", "warning"] = "error"
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        position = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        mark = "warning: " if self.severity == "warning" else ""
        return f"{position}{mark}{self.setting + ': ' if self.setting else ''}{self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used: everything that is wrong with it, warnings too."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class Document:
    """A YAML mapping that knows where each of its settings stands. Without a file: empty, with no positions."""

    def __init__(self, name: str | None = None, root: yaml.Node | None = None) -> None:
        self.name = name
        self._root = root
        self.data: dict[str, Any] = {}
        self.overridden: dict[SettingPath, str] = {}

    @classmethod
    def read(cls, path: Path) -> Document:
        """Raises ConfigError if the file cannot be read or is not one YAML mapping."""
        name = str(path)
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            hint = f"; `yardstick init {name}` writes one" if isinstance(error, FileNotFoundError) else ""
            raise ConfigError([Problem("", f"cannot be read: {error.strerror}{hint}", file=name)]) from None
        except UnicodeDecodeError:
            raise ConfigError([Problem("", "is not UTF-8 text", file=name)]) from None
        try:
            root = yaml.compose(text, yaml.SafeLoader)
            document = cls(name, root)
            data = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            raise ConfigError([_syntax_problem(name, error)]) from None
        except yaml.YAMLError as error:
            raise ConfigError([Problem("", f"is not YAML: {' '.join(str(error).split())}", file=name)]) from None
        except (ValueError, RecursionError) as error:  # a date such as 2026-99-99; lists a thousand levels deep
            raise ConfigError([Problem("", f"holds a value that cannot be read: {error}", file=name)]) from None
        if not isinstance(data, dict):
            message = "has to hold settings (`port: 8080`, `pools:`, ...), not " + described(data)
            raise ConfigError([Problem("", message, file=name, line=1, column=1)])
        try:
            json.dumps(data, default=str)
        except (TypeError, ValueError, RecursionError):
            message = "holds a value that refers to itself, or a key that is no text"
            raise ConfigError([Problem("", message, file=name, line=1, column=1)]) from None
        document.data = data
        return document

    def position(self, path: SettingPath, *, key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of a setting's value (or its key); of what is around it if it is not there."""
        node, mark = self._root, self._root.start_mark if self._root else None
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            node, mark = found[1], (found[0] if key else found[1]).start_mark
        return (mark.line + 1, mark.column + 1) if mark else (1, 1)

    def holds(self, path: SettingPath) -> bool:
        """Whether the file itself has this setting."""
        node = self._root
        for part in path:
            found = _child(node, part)
            if found is None:
                return False
            node = found[1]
        return self._root is not None

    def problem(self, finding: Finding, *, key: bool = False, written: bool = False) -> Problem:
        """A finding with its position: its value's, or its ``key``'s.

        Without one if it is about a flag, or (unless ``written``) about a default that the file does not mention.
        """
        for length in range(len(finding.path), 0, -1):
            flag = self.overridden.get(finding.path[:length])
            if flag is not None:
                return Problem(flag, finding.message, finding.severity)
        setting = dotted_path(finding.path)
        if self.name is None or not (written or self.holds(finding.path)):
            return Problem(setting, finding.message, finding.severity, self.name)
        line, column = self.position(finding.path, key=key)
        return Problem(setting, finding.message, finding.severity, self.name, line, column)

    def duplicates(self) -> Iterator[Problem]:
        """Keys that stand twice in one mapping: YAML would keep the last one without a word."""
        pending: list[tuple[SettingPath, yaml.Node]] = [((), self._root)] if self._root else []
        visited: set[int] = set()
        while pending:
            path, node = pending.pop()
            if id(node) in visited:
                continue
            visited.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                pending.extend(((*path, index), item) for index, item in enumerate(node.value))
            elif isinstance(node, yaml.MappingNode):
                first: dict[str, int] = {}
                for name, value in node.value:
                    label = str(name.value)
                    line = name.start_mark.line + 1
                    if label in first:
                        message = f"given twice, first on line {first[label]}: drop one"
                        column = name.start_mark.column + 1
                        yield Problem(dotted_path((*path, label)), message, "error", self.name, line, column)
                    first.setdefault(label, line)
                    pending.append(((*path, label), value))


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value of one step down the tree; a sequence's item stands for both."""
    if isinstance(node, yaml.MappingNode):
        # The last one of several counts, as it does for YAML.
        return next(((key, value) for key, value in reversed(node.value) if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _syntax_problem(name: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    message = f"is not YAML: {error.problem or error.context}"
    if "'\\t'" in message:
        message += ". Indent with spaces, not tabs"
    return Problem("", message, file=name, line=mark.line + 1 if mark else 1, column=mark.column + 1 if mark else 1)


def dotted_path(path: SettingPath) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def described(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the yes-or-no value {str(value).lower()}"
    if isinstance(value, dict):
        return "a group of settings"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return ("the text " if isinstance(value, str) else "") + (text if len(text) <= 60 else text[:57] + "...")
