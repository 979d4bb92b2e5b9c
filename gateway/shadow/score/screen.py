"""What a task's own source says about how it can be checked. Trusted source only: a candidate is never parsed here."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from gateway.shadow.suites.methods import names_of_tests, parsed
from gateway.shadow.suites.task import Task

# Tests that reach into the candidate's process: its functions, modules, surroundings; or that run what it leaves in
# files. (Random numbers, output, logs and warnings are carried over, so they are not in the list.)
_SHARED = """
    patch mock Mock MagicMock AsyncMock PropertyMock NonCallableMock mock_open create_autospec sentinel monkeypatch
    requests_mock responses httpretty freezegun freeze_time pickle cPickle joblib dill cloudpickle shelve marshal
    exec eval importlib __import__ import_module subprocess ctypes inspect environ putenv unsetenv chdir umask
    modules globals setattr delattr getrefcount gc weakref
    __dict__ __code__ __globals__ __closure__ __defaults__ __annotations__ __wrapped__
"""
_NETWORK = """
    aiohttp asyncio django flask ftplib http imaplib multiprocessing paramiko poplib requests selectors smtplib socket
    socketserver ssl telnetlib urllib urllib3 websockets werkzeug xmlrpc
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """`separable`: tests and candidate may be two processes. `modules`: what has to be installed, top-level names.

    `outside`: a network, or files at places of the task's choice, which not every level has.
    """

    names: tuple[str, ...]
    separable: bool
    modules: frozenset[str]
    outside: bool


def plan(task: Task) -> Plan:
    prompt, tests = parsed(task.prelude), parsed(task.test)
    imported = _imported(prompt) | _imported(tests)
    return Plan(
        names=names_of_tests(tests),
        separable=_words(tests).isdisjoint(_SHARED.split()),
        modules=(imported | set(task.libs)) - {"__future__", "__main__", "__test__"},
        outside=not imported.isdisjoint(_NETWORK.split()) or _has_absolute_path(prompt) or _has_absolute_path(tests),
    )


def _imported(module: ast.Module) -> frozenset[str]:
    found = set[str]()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return frozenset(found)


def _words(module: ast.Module) -> frozenset[str]:
    """Every identifier in it: names, attributes, what is imported and as what."""
    found = set[str]()
    for node in ast.walk(module):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                found.update(alias.name.split("."), [alias.asname or ""])
            found.update((getattr(node, "module", None) or "").split("."))
    return frozenset(found)


def _has_absolute_path(module: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/")
        for node in ast.walk(module)
    )
