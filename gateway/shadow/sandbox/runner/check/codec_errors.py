"""Exceptions in the codec: by name, never by code.

The receiver picks the first class of the sent one's bases that it has already loaded; a candidate's own class becomes a
class of that name below its nearest known base. What would make a test's outcome (unittest's classes), or is no
`Exception`, is never picked. Objects are made without running any `__init__`.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Collection
from typing import Any

from .codec_types import CodecError, Features, Kind

_MOST_BASES = 50
# Attributes of built-in exceptions that hold what they were made of, such as OSError.errno. (AttributeError.obj is
# whatever lacked the attribute.)
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)


def class_names(kind: type) -> tuple[tuple[str, str], ...]:
    """(module, qualified name) of a class and its bases."""
    return tuple(
        (str(one.__module__), str(one.__qualname__)) for one in type.mro(kind)[:_MOST_BASES] if one is not object
    )


def loaded_class(module: str, name: str) -> type | None:
    """A class that is already there, found without running anything (attributes may be computed)."""
    found: Any = sys.modules.get(module)
    try:
        for part in name.split("."):
            space = type.__getattribute__(found, "__dict__") if isinstance(found, type) else vars(found)
            found = space[part]
    except (KeyError, TypeError, AttributeError):
        return None
    return found if isinstance(found, type) else None


def is_of_unittest(kind: type) -> bool:
    return any(str(one.__module__).partition(".")[0] == "unittest" for one in type.mro(kind))


_made: dict[tuple[Any, ...], type] = {}


def _pick(names: tuple[Any, ...]) -> type:
    for pair in names[:_MOST_BASES]:
        module, name = pair
        if type(module) is not str or type(name) is not str:
            raise CodecError("no name of a class")
        kind = loaded_class(module, name)
        if kind is not None and Exception in type.mro(kind) and not is_of_unittest(kind):
            return kind if pair is names[0] else _named(names, kind)
    return Exception


def _named(names: tuple[Any, ...], base: type) -> type:
    """A class of the first name, whose only base is one that is known here; always the same for the same names."""
    if names not in _made:
        module, name = names[0]
        space = {"__module__": module, "__qualname__": name, "__doc__": None}
        _made[names] = type(name.rpartition(".")[2].replace("\0", ""), (base,), space)
    return _made[names]


def _make(*names: Any) -> BaseException:
    kind = _pick(names)
    builtin: Any = next(one for one in type.mro(kind) if "__new__" in vars(one) and one.__module__ == "builtins")
    made: BaseException = builtin.__new__(kind)
    return made


def _builtin_state(error: BaseException) -> list[str]:
    return [
        name
        for one in type.mro(type(error))
        if one.__module__ == "builtins" and one not in (BaseException, object)
        for name, attribute in vars(one).items()
        if isinstance(attribute, _DESCRIPTORS) and not name.startswith("__") and name != "obj"
    ]


def _content(error: BaseException) -> tuple[Any, ...]:
    state = {name: getattr(error, name, None) for name in _builtin_state(error)}
    state.update({name: value for name, value in vars(error).items() if type(name) is str})
    pairs = tuple((name, value) for name, value in state.items() if value is not None)
    context = None if error.__suppress_context__ else error.__context__
    return tuple(error.args), error.__cause__, context, error.__suppress_context__, pairs


def _fill(error: BaseException, content: tuple[Any, ...]) -> None:
    args, cause, context, suppress, state = content
    if type(args) is not tuple or type(suppress) is not bool:
        raise CodecError("no exception")
    error.args = args
    builtin = set(_builtin_state(error))
    for name, value in state:
        if type(name) is not str:
            raise CodecError("no name")
        if name in builtin:
            _set(error, name, value)
        elif not name.startswith("__"):
            error.__dict__[name] = value
    # The interpreter itself checks that these are exceptions.
    error.__cause__, error.__context__, error.__suppress_context__ = cause, context, suppress


def _set(error: BaseException, name: str, value: object) -> None:
    try:
        setattr(error, name, value)
    except (TypeError, AttributeError):  # read-only, or of another type than this class keeps
        pass


ERRORS: list[tuple[int, Kind]] = [
    (
        30,
        Kind(BaseException, lambda error: class_names(type(error)), _make, _content, _fill, fixed=True),
    )
]


# Built-in types without values, most of them without a name in `builtins`.
_TYPES_WITHOUT_VALUES: tuple[type, ...] = (
    *(types.GeneratorType, types.FunctionType, types.MethodType, types.BuiltinFunctionType),
    *(map, filter, zip, enumerate, reversed, type({}.keys()), type({}.values()), type({}.items())),
)
_WITHOUT_VALUES = {one.__name__: one for one in _TYPES_WITHOUT_VALUES}


def claimed_class(features: Features, plain: Collection[type]) -> type | None:
    """The nearest class of those an object behind a handle claims that is loaded here, and whose values never cross.

    A claim is worth what `isinstance` is worth among hostile code: an object made without its `__init__` passes too.
    """
    for module, name in features.classes[:_MOST_BASES]:
        kind = _WITHOUT_VALUES.get(name) if module == "builtins" else loaded_class(module, name)
        if kind is None:
            continue
        bases = set(type.mro(kind))
        return None if not bases.isdisjoint((type, *plain)) or is_of_unittest(kind) else kind
    return None
