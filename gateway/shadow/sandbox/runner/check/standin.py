"""Stand-ins for the other side's objects, and what may be asked of one's own.

The tests' side holds stand-ins for the candidate's objects (generators, axes, instances of its own classes). They ask
for attributes, calls and items, and get values; they compare by identity only, so no object of the candidate's can
equal what a test expects, hold it or come before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .codec_errors import loaded_class
from .codec_types import Features

# Special methods that are asked for over the link, by the operation's name.
SPECIAL = {
    "call": "__call__",
    "len": "__len__",
    "iter": "__iter__",
    "next": "__next__",
    "item": "__getitem__",
    "set_item": "__setitem__",
    "delete_item": "__delitem__",
    "enter": "__enter__",
    "exit": "__exit__",
    "str": "__str__",
    "repr": "__repr__",
    "int": "__int__",
    "float": "__float__",
    "index": "__index__",
    "bool": "__bool__",
}
_NAMES = ("__name__", "__qualname__", "__doc__", "__module__")
_RESULTS: dict[str, tuple[type, ...]] = {"str": (str,), "repr": (str,), "len": (int,), "index": (int,)}


class Asking(Protocol):
    private: frozenset[str]  # names with an underscore that may be asked for all the same

    def ask(self, operation: str, target: object, /, *args: object, **kwargs: object) -> Any:
        """What the other side answers; raises what it raises."""


def has_special(value: object) -> tuple[str, ...]:
    """The operations that an object's type defines itself (what `object` has does not count)."""
    kind = type(value)
    return tuple(
        operation
        for operation, name in SPECIAL.items()
        if getattr(kind, name, None) is not None and getattr(kind, name) is not getattr(object, name, None)
    )


def perform(
    operation: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, private: bool = False
) -> Any:
    """Do to an object of this side's what the other side asked for. AttributeError for what may not be asked.

    `private`: names with an underscore are given away as well.
    """
    if operation == "get":
        (name,) = args
        return getattr(target, public(name, private))
    if operation == "set":
        name, value = args
        return setattr(target, public(name), value)
    if operation == "call":
        return target(*args, **kwargs)
    if operation in SPECIAL:
        return getattr(type(target), SPECIAL[operation])(target, *args)
    raise AttributeError(f"no operation {operation!r}")


def public(name: object, private: bool = False) -> str:
    if type(name) is not str or (name.startswith("_") and name not in _NAMES and not private):
        raise AttributeError(f"{name!r} is not asked for across the link")
    return name


def make(link: Asking, features: Features, *, claims: type | None = None) -> object:
    """A stand-in. `claims`: the class it is an instance of for `isinstance`."""
    methods: dict[str, Any] = {
        SPECIAL[operation]: _method(link, operation) for operation in features.special if operation in SPECIAL
    }
    if claims is not None:
        methods |= {"__class__": property(lambda _: claims), "__module__": claims.__module__}
    elif features.classes and loaded_class(*features.classes[0]) is None:
        methods["__module__"] = features.classes[0][0]  # a library's that is not loaded here
    methods["__doc__"] = None
    made = type(features.name or "object", (_StandIn,), methods)()
    object.__setattr__(made, "_link", link)
    object.__setattr__(made, "_name", features.name)
    if features.doc is not None:
        object.__setattr__(made, "__doc__", features.doc)
    if features.callable:
        object.__setattr__(made, "__name__", features.name)
        object.__setattr__(made, "__qualname__", features.name)
    return made


def _method(link: Asking, operation: str) -> Callable[..., Any]:
    allowed = _RESULTS.get(operation)

    def method(self: object, /, *args: Any, **kwargs: Any) -> Any:
        answer = link.ask(operation, self, *args, **kwargs)
        if operation == "iter" and type(answer) is list:
            return iter(answer)
        if allowed is not None and type(answer) not in allowed:
            raise TypeError(f"{operation} gave {type(answer).__name__}")
        return answer

    return method


class _StandIn:
    def __getattr__(self, name: str) -> Any:
        link: Asking = object.__getattribute__(self, "_link")
        if name.startswith("_") and name not in _NAMES and name not in link.private:
            raise AttributeError(name)
        return link.ask("get", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        link: Asking = object.__getattribute__(self, "_link")
        link.ask("set", self, public(name), value)

    def __repr__(self) -> str:
        return f"<{object.__getattribute__(self, '_name')} on the other side>"

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError("an object of the other side has no copy here")

    def __deepcopy__(self, memo: object) -> Any:
        raise TypeError("an object of the other side has no copy here")
