"""What the modules of a process name and their classes hold, taken down so that it can be compared and put back.

Comparing goes by identity and in C: of a large library there are tens of thousands of names.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from .memory import Layout, Memory, Watched, dict_of, layout, watched_bases, watched_dicts, watched_functions

# Set anew by the classes' own machinery as they are used.
_MOVING = {"__abstractmethods__", "_abc_impl", "__annotations__", "__doc__", "__dict__", "__weakref__", "__module__"}
_HEAP_TYPE = 1 << 9
_PARTS = ("__code__", "__defaults__", "__kwdefaults__")
_parts_of = attrgetter(*_PARTS)
Owner = TypeVar("Owner")


class Held:
    """Names and what they stand for in a module or a class; `whole`: there are no others in it."""

    __slots__ = ("_ids", "_names", "owner", "values", "whole")

    def __init__(self, owner: Any, values: dict[str, Any], *, whole: bool = True) -> None:
        self.owner, self.values, self.whole = owner, values, whole
        self._names = tuple(values)
        self._ids = tuple(map(id, values.values()))

    def changed(self) -> Iterator[str]:
        """The names that stand for something else, or for nothing."""
        now = vars(self.owner)
        if tuple(map(id, map(now.get, self._names))) != self._ids:
            yield from (name for name, value in self.values.items() if now.get(name) is not value)

    def only(self, names: Collection[str]) -> Held:
        """Of these names alone."""
        return Held(self.owner, {name: self.values[name] for name in names}, whole=False)


class _Watch(NamedTuple):
    """What can be read of a `Known` without asking it, and its items by number."""

    modules: Watched
    dicts: Watched
    bases: Watched
    functions: Watched
    items: tuple[list[Any], list[Any], list[Any]]


class _ByName(NamedTuple):
    """Who has a name, by names: modules (by their own), classes and functions."""

    modules: dict[str, list[str]]
    classes: dict[str, list[type]]
    functions: dict[str, list[types.FunctionType]]


class Known:
    """What `modules` name: functions, classes and modules, with the functions' code and what the classes hold."""

    _watch: _Watch | None = None
    _by_name: _ByName | None = None

    def __init__(self, modules: Mapping[str, types.ModuleType]) -> None:
        self.modules = {name: Held(module, _solid(vars(module))) for name, module in modules.items()}
        self.classes: dict[type, tuple[Held, tuple[type, ...]]] = {}
        self.functions: dict[types.FunctionType, tuple[Any, ...]] = {}
        for held in self.modules.values():
            for value in held.values.values():
                self.hold(value)

    def hold(self, value: Any) -> None:
        """Hold a function, or a class with what it has."""
        if type(value) is types.FunctionType:
            self.functions.setdefault(value, _parts_of(value))
        elif issubclass(type(value), type) and value not in self.classes and value.__flags__ & _HEAP_TYPE:
            held = {name: one for name, one in vars(value).items() if name not in _MOVING}
            self.classes[value] = Held(value, held), value.__bases__
            for one in held.values():
                self.hold(_function(one))

    def watch(self, where: Layout) -> None:
        """From now on `restore` need not ask everything what it holds. Nothing may be held any more after this."""
        self._watch = _Watch(
            watched_dicts([vars(held.owner) for held in self.modules.values()], where),
            watched_dicts([dict_of(kind) for kind in self.classes], where),
            watched_bases(list(self.classes), where),
            watched_functions(list(self.functions), where),
            (list(self.modules.items()), list(self.classes.items()), list(self.functions.items())),
        )
        self._by_name = self._indexed()

    def restore(self, memory: Memory | None = None, *, modules_stand: bool = False) -> Iterator[str]:
        """Put everything back; yields the dotted names of what had changed.

        `modules_stand`: `sys.modules` is as it was.
        """
        for name, held in () if modules_stand else self.modules.items():
            if sys.modules.get(name) is not held.owner:
                sys.modules[name] = held.owner
                yield name
        modules, kinds, functions = self._suspects(memory)
        for name, held in modules:
            for key in held.changed():
                vars(held.owner)[key] = held.values[key]
                yield f"{name}.{key}"
        for kind, (held, bases) in kinds:
            yield from _restore_class(kind, held, bases)
        for function, parts in functions:
            now = _parts_of(function)
            if not (now[0] is parts[0] and now[1] is parts[1] and now[2] is parts[2]):
                for name, part in zip(_PARTS, parts, strict=True):
                    setattr(function, name, part)
                yield f"{function.__module__}.{function.__qualname__}"

    def _suspects(self, memory: Memory | None) -> tuple[Iterable[Any], Iterable[Any], Iterable[Any]]:
        """The items of modules, classes and functions that have to be asked."""
        if memory is None or self._watch is None:
            return self.modules.items(), self.classes.items(), self.functions.items()
        modules, kinds, functions = self._watch.items
        suspects = {*self._watch.dicts.changed(memory), *self._watch.bases.changed(memory)}
        return (
            [modules[number] for number in self._watch.modules.changed(memory)],
            [kinds[number] for number in sorted(suspects)],
            [functions[number] for number in self._watch.functions.changed(memory)],
        )

    def differs(self, memory: Memory | None = None) -> bool:
        """Whether a name of a module stands for something else by now."""
        suspects, _, _ = self._suspects(memory)
        return any(True for _, held in suspects for _ in held.changed())

    def named(self, names: Collection[str]) -> Known:
        """The part of it that has one of these names."""
        by_name = self._by_name or self._indexed()
        part = Known({})
        for module, chosen in _owners(by_name.modules, names).items():
            part.modules[module] = self.modules[module].only(chosen)
        for kind, chosen in _owners(by_name.classes, names).items():
            held, bases = self.classes[kind]
            part.classes[kind] = held.only(chosen), bases
        for function in _owners(by_name.functions, names):
            part.functions[function] = self.functions[function]
        return part

    def _indexed(self) -> _ByName:
        found = _ByName({}, {}, {})
        for module, held in self.modules.items():
            for name in held.values:
                found.modules.setdefault(name, []).append(module)
        for kind, (held, _) in self.classes.items():
            for name in held.values:
                found.classes.setdefault(name, []).append(kind)
        for function in self.functions:
            found.functions.setdefault(function.__name__, []).append(function)
        return found


def _owners(by_name: Mapping[str, list[Owner]], names: Iterable[str]) -> dict[Owner, list[str]]:
    """Which of the names each has that has any."""
    found: dict[Owner, list[str]] = {}
    for name in names:
        for owner in by_name.get(name, ()):
            found.setdefault(owner, []).append(name)
    return found


def _restore_class(kind: type, held: Held, bases: tuple[type, ...]) -> Iterator[str]:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__bases__ != bases:
        kind.__bases__ = bases
        yield f"{name}.__bases__"
    for key in held.changed():
        type.__setattr__(kind, key, held.values[key])
        yield f"{name}.{key}"
    now = vars(kind)
    if held.whole and len(now) > len(held.values):
        for key in [key for key in now if _is_added(key, held.values)]:
            type.__delattr__(kind, key)
            yield f"{name}.{key}"


def _is_added(key: str, held: Mapping[str, Any]) -> bool:
    return key not in held and key not in _MOVING and key.startswith("__")


def _solid(space: dict[str, Any]) -> dict[str, Any]:
    """What a module's names stand for and keeps: its functions, classes and modules, not its variables.

    Modules of a type of their own load something when they are used, and then put it in their place (tensorflow.keras).
    """
    return {name: value for name, value in list(space.items()) if _is_solid(type(value))}


def _is_solid(kind: type) -> bool:
    """`isinstance` would ask a lazy value for its class, and that sets it up, or fails (Django's settings)."""
    return kind is types.ModuleType or issubclass(kind, (types.FunctionType, types.BuiltinFunctionType, type))


def _function(value: Any) -> Any:
    """What a class's attribute calls, if it is a method of any kind."""
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    if isinstance(value, property):
        return value.fget
    return value


def all_types() -> set[type]:
    seen: set[type] = {object}
    waiting: list[type] = [object]
    while waiting:
        below: list[type] = type.__subclasses__(waiting.pop())
        new = [one for one in below if one not in seen]
        seen.update(new)
        waiting += new
    return seen


class Standing:
    """All that a process knows by now, by the modules' top-level names: a fork inherits it and need not look itself.

    To be made before anything hostile ran.
    """

    def __init__(self) -> None:
        self.names = frozenset(sys.modules)
        self.types = frozenset(all_types())
        roots = {name.partition(".")[0] for name in self.names}
        self.known = {root: Known(modules_below({root})) for root in roots}
        self.where = layout()
        self.modules = None if self.where is None else watched_dicts([sys.modules], self.where)
        if self.where is not None:
            for known in self.known.values():
                known.watch(self.where)

    def new_roots(self, memory: Memory | None) -> set[str]:
        """Of the modules that were loaded since."""
        if memory is not None and self.modules is not None and not any(True for _ in self.modules.changed(memory)):
            return set()
        return {name.partition(".")[0] for name in sys.modules.keys() - self.names}


def modules_below(roots: Collection[str]) -> dict[str, types.ModuleType]:
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in roots and isinstance(module, types.ModuleType)
    }
