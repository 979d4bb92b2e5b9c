"""What a candidate must not change under its tests: put back after it was loaded, and looked at after each test.

Held are `builtins`, `unittest` and whatever else the tests import, with all that is loaded below: every function and
class that these modules name, the functions' code, and what the classes hold.
"""

from __future__ import annotations

import builtins
import gc
import signal
import sys
import threading
import types
from collections.abc import Collection, Iterator
from typing import Any

_ALWAYS = ("builtins", "unittest", "contextlib", "difflib", "traceback", "pprint", "collections", "warnings", "re")
_HOOKS = ("excepthook", "unraisablehook", "displayhook", "breakpointhook")
_SIGNALS = [one for one in signal.valid_signals() if one not in (signal.SIGKILL, signal.SIGSTOP)]
# Set anew by the classes' own machinery as they are used.
_MOVING = {"__abstractmethods__", "_abc_impl", "__annotations__", "__doc__", "__dict__", "__weakref__", "__module__"}


class Guard:
    """Taken before hostile code runs. Its own functions are reached through it, not through modules."""

    def __init__(self, modules: Collection[str]) -> None:
        roots = {name.partition(".")[0] for name in (*_ALWAYS, *modules)}
        self._modules = {
            name: module
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in roots and isinstance(module, types.ModuleType)
        }
        self.builtins = dict(vars(builtins))
        self._put_back, self._builtins_space = dict.update, vars(builtins)
        self._spaces = {name: _solid(vars(module)) for name, module in self._modules.items()}
        self._classes: dict[type, tuple[tuple[type, ...], dict[str, Any]]] = {}
        self._code: dict[types.FunctionType, tuple[Any, ...]] = {}
        for space in self._spaces.values():
            for value in space.values():
                self.hold(value)
        self._handlers = {one: signal.getsignal(one) for one in _SIGNALS}
        self._hooks = {name: getattr(sys, name) for name in _HOOKS}
        self._callbacks = list(gc.callbacks)
        self.types = set(_all_types())

    def hold(self, value: Any) -> None:
        """Hold a function, or a class with what it has."""
        if type(value) is types.FunctionType:
            self._code.setdefault(value, (value.__code__, value.__defaults__, value.__kwdefaults__))
        elif issubclass(type(value), type) and value not in self._classes and value.__flags__ & _HEAP_TYPE:
            held = {name: one for name, one in vars(value).items() if name not in _MOVING}
            self._classes[value] = value.__bases__, held
            for one in held.values():
                self.hold(_function(one))

    def restore(self) -> list[str]:
        """Put everything back; the dotted names of what had changed."""
        self._put_back(self._builtins_space, self.builtins)
        return [*self._restore_modules(), *self._restore_classes(), *self._restore_code()]

    def restore_hooks(self) -> None:
        """Take away what would run hostile code between the tests' own steps."""
        sys.settrace(None)
        sys.setprofile(None)
        threading.settrace(None)
        threading.setprofile(None)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for one, handler in self._handlers.items():
            if handler is not None and signal.getsignal(one) is not handler:
                signal.signal(one, handler)
        for name, hook in self._hooks.items():
            setattr(sys, name, hook)
        gc.callbacks[:] = self._callbacks

    def _restore_modules(self) -> Iterator[str]:
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
                yield name
            space = vars(module)
            for key, value in self._spaces[name].items():
                if space.get(key) is not value:
                    space[key] = value
                    yield f"{name}.{key}"

    def _restore_classes(self) -> Iterator[str]:
        for kind, (bases, held) in self._classes.items():
            if kind.__bases__ != bases:
                kind.__bases__ = bases
                yield f"{kind.__module__}.{kind.__qualname__}.__bases__"
            now = vars(kind)
            for key, value in held.items():
                if now.get(key) is not value:
                    type.__setattr__(kind, key, value)
                    yield f"{kind.__module__}.{kind.__qualname__}.{key}"
            if len(now) > len(held):
                for key in [key for key in now if key not in held and key not in _MOVING and key.startswith("__")]:
                    type.__delattr__(kind, key)
                    yield f"{kind.__module__}.{kind.__qualname__}.{key}"

    def _restore_code(self) -> Iterator[str]:
        for function, (code, defaults, named) in self._code.items():
            if function.__code__ is not code:
                function.__code__ = code
                yield f"{function.__module__}.{function.__qualname__}"
            if function.__defaults__ is not defaults:
                function.__defaults__ = defaults
                yield f"{function.__module__}.{function.__qualname__}"
            if function.__kwdefaults__ is not named:
                function.__kwdefaults__ = named
                yield f"{function.__module__}.{function.__qualname__}"

    def is_known(self, value: object) -> bool:
        """Whether some module had this function, class or module before the candidate came."""
        if issubclass(type(value), types.ModuleType):
            return sys.modules.get(str(attribute(value, "__name__"))) is value
        name, module = attribute(value, "__name__"), attribute(value, "__module__")
        found = self._modules.get(str(module))
        if found is not None and vars(found).get(str(name)) is value:
            return True
        return any(space.get(str(name)) is value for space in self._spaces.values())


_HEAP_TYPE = 1 << 9


def _solid(space: dict[str, Any]) -> dict[str, Any]:
    """What a module's names stand for and keeps: its functions, classes and modules, not its variables.

    Modules of a type of their own load something when they are used, and then put it in their place (tensorflow.keras).
    """
    return {name: value for name, value in list(space.items()) if _is_solid(type(value))}


def _is_solid(kind: type) -> bool:
    """`isinstance` would ask a lazy value for its class, and that sets it up, or fails (Django's settings)."""
    return kind is types.ModuleType or issubclass(kind, (types.FunctionType, types.BuiltinFunctionType, type))


def attribute(value: object, name: str) -> object:
    """None as well where the value can't be asked, as a lazy one that can't be set up."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _function(value: Any) -> Any:
    """What a class's attribute calls, if it is a method of any kind."""
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    if isinstance(value, property):
        return value.fget
    return value


def _all_types() -> Iterator[type]:
    seen, waiting = {object}, [object]
    while waiting:
        one = waiting.pop()
        yield one
        new = [below for below in type.__subclasses__(one) if below not in seen]
        seen.update(new)
        waiting += new
