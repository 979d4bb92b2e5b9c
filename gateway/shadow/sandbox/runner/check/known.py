"""What the modules of a process name and their classes hold, taken down so that it can be compared and put back.

Comparing goes by identity and in C: of a large library there are tens of thousands of names.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter
from typing import Any

# Set anew by the classes' own machinery as they are used.
_MOVING = {"__abstractmethods__", "_abc_impl", "__annotations__", "__doc__", "__dict__", "__weakref__", "__module__"}
_HEAP_TYPE = 1 << 9
_PARTS = ("__code__", "__defaults__", "__kwdefaults__")
_parts_of = attrgetter(*_PARTS)


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


class Known:
    """What `modules` name: functions, classes and modules, with the functions' code and what the classes hold."""

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

    def restore(self) -> Iterator[str]:
        """Put everything back; yields the dotted names of what had changed."""
        for name, held in self.modules.items():
            if sys.modules.get(name) is not held.owner:
                sys.modules[name] = held.owner
                yield name
            for key in held.changed():
                vars(held.owner)[key] = held.values[key]
                yield f"{name}.{key}"
        for kind, (held, bases) in self.classes.items():
            yield from _restore_class(kind, held, bases)
        for (function, parts), now in zip(self.functions.items(), map(_parts_of, self.functions), strict=True):
            if not (now[0] is parts[0] and now[1] is parts[1] and now[2] is parts[2]):
                for name, part in zip(_PARTS, parts, strict=True):
                    setattr(function, name, part)
                yield f"{function.__module__}.{function.__qualname__}"

    def differs(self) -> bool:
        """Whether a name of a module stands for something else by now."""
        return any(True for held in self.modules.values() for _ in held.changed())

    def named(self, names: frozenset[str]) -> Known:
        """The part of it that has one of these names."""
        part = Known({})
        for name, held in self.modules.items():
            if chosen := names & held.values.keys():
                part.modules[name] = held.only(chosen)
        for kind, (held, bases) in self.classes.items():
            if chosen := names & held.values.keys():
                part.classes[kind] = held.only(chosen), bases
        part.functions = {one: parts for one, parts in self.functions.items() if one.__name__ in names}
        return part


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


def modules_below(roots: Collection[str]) -> dict[str, types.ModuleType]:
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in roots and isinstance(module, types.ModuleType)
    }
