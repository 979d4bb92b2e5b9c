"""What a task's own source says about how it can be checked. Trusted source only: a candidate is never parsed here."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from gateway.shadow.suites.methods import names_of_tests, parsed
from gateway.shadow.suites.task import Task

# Tests that reach into the candidate's process: its functions, modules, surroundings; or that run what it leaves in
# files, or returns. (Random numbers, output, logs and warnings are carried over, so they are not in the list.)
_SHARED = """
    patch mock Mock MagicMock AsyncMock PropertyMock NonCallableMock mock_open create_autospec sentinel monkeypatch
    requests_mock responses httpretty freezegun freeze_time pickle cPickle joblib dill cloudpickle shelve marshal
    exec eval importlib __import__ import_module subprocess ctypes inspect environ putenv unsetenv chdir umask
    modules globals setattr delattr getrefcount gc weakref
    __dict__ __code__ __globals__ __closure__ __defaults__ __annotations__ __wrapped__
    read_pickle allow_pickle load_model torch runpy zipimport fileConfig unsafe_load unsafe_load_all UnsafeLoader
    popen execl execle execlp execlpe execv execve execvp execvpe posix_spawn posix_spawnp
    spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe
"""
# Words that are harmless elsewhere: `platform.system` asks for a name, and `yaml`, but for these loaders, makes plain
# values only.
_SHARED_OF = "os.system yaml.Loader yaml.CLoader"
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
        separable=_words(tests).isdisjoint([*_SHARED.split(), *_SHARED_OF.split()]),
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
    """Every identifier in it: names, attributes, arguments that are not `False`, what is imported and as what.

    A module's attribute also with whose it is: `os.system`, whatever `os` and `system` are imported as.
    """
    modules = {
        alias.asname: alias.name for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names
    }
    found = set[str]()
    for node in ast.walk(module):
        match node:
            case ast.keyword(value=ast.Constant(value=False)):
                pass
            case ast.Name(id=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                found.update((name, f"{modules.get(owner, owner)}.{name}"))
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.Import(names=names):
                found.update(part for alias in names for part in [*alias.name.split("."), alias.asname or ""])
            case ast.ImportFrom(module=origin, names=names):
                found.update((origin or "").split("."))
                found.update(
                    part for alias in names for part in (alias.name, f"{origin}.{alias.name}", alias.asname or "")
                )
    return frozenset(found)


def _has_absolute_path(module: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/")
        for node in ast.walk(module)
    )
