"""The two sides of the link: what of each may be asked for, and what the other side's objects become there."""

from __future__ import annotations

import importlib
import io
import sys
import types
from functools import partial, reduce
from typing import Any

from . import standin
from .codec import Codec
from .codec_errors import claimed_class, class_names, is_of_unittest
from .codec_plain import loaded
from .codec_types import CodecError, Features
from .link import Link

# Types whose values cross by themselves, beside those that the codec was taught.
_SCALARS = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
# Objects of the tests that have no value but may be asked for: streams, iterators, and methods of plain containers.
_STREAMS = (io.StringIO, io.BytesIO)
_ITERABLES: tuple[Any, ...] = ((), [], {}, set(), "", b"", range(0), {}.values(), {}.items())
_ITERATORS = (
    types.GeneratorType,
    map,
    filter,
    zip,
    enumerate,
    reversed,
    *(type(iter(one)) for one in _ITERABLES),
)
_CONTAINERS = (list, dict, set, tuple, str, bytes, bytearray, frozenset)
_BUILTIN_TYPES = {
    name: one
    for name, one in vars(__import__("builtins")).items()
    if isinstance(one, type) and not name.startswith("_")
}


def features(value: Any) -> Features:
    kind = type(value)
    name = getattr(value, "__name__", None)
    doc = getattr(value, "__doc__", None) if callable(value) else None
    return Features(
        callable=callable(value),
        name=name if type(name) is str else kind.__name__,
        doc=doc if type(doc) is str else None,
        special=standin.has_special(value),
        classes=class_names(kind),
    )


class _Side:
    """`link` and `codec` are set once there are any."""

    link: Link
    codec: Codec

    def stand_in(self, number: int, features: Features) -> object:
        plain = (*_SCALARS, *self.codec.value_of, *self.codec.kind_of)
        return standin.make(self.link, features, claims=claimed_class(features, plain))


class CandidateSide(_Side):
    """Everything of the candidate's may be asked for; `told` is what crossed as a handle."""

    def features(self, value: object) -> Features | None:
        return features(value)

    def name_of(self, value: object) -> tuple[str, str] | None:
        """Only what the tests' side accepts: built-in types, and numpy's types of numbers."""
        if isinstance(value, type):
            if _BUILTIN_TYPES.get(value.__name__) is value:
                return "builtins", value.__name__
            if _numpy_type(value.__name__) is value:
                return "numpy", value.__name__
        return None

    def find(self, module: str, name: str) -> object:
        return reduce(getattr, name.split("."), importlib.import_module(module))


def _numpy_type(name: str) -> type | None:
    numpy = loaded("numpy")
    found = vars(numpy).get(name) if numpy is not None else None
    return found if isinstance(found, type) and numpy.generic in type.mro(found) else None


class TestsSide(_Side):
    """Of the tests' objects only those they define themselves are asked for. `unplain` notes what could not cross."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self.prelude: set[str] = set()
        self.unplain: dict[str, None] = {}

    def stand_in(self, number: int, features: Features) -> object:
        if features.classes:
            self.unplain[".".join(features.classes[0])[:200]] = None
        return super().stand_in(number, features)

    def features(self, value: object) -> Features | None:
        return features(value) if self._is_for_asking(value) else None

    def _is_for_asking(self, value: object) -> bool:
        kind = type(value)
        if kind is types.FunctionType:
            return value.__globals__ is self._namespace  # type: ignore[attr-defined]
        if kind is types.MethodType:
            return self._is_for_asking(value.__func__)  # type: ignore[attr-defined]
        if kind is partial:
            return self._is_for_asking(value.func)  # type: ignore[attr-defined]
        if kind is types.BuiltinMethodType:
            owner = type(value.__self__)  # type: ignore[attr-defined]
            return owner in _CONTAINERS or owner in _STREAMS or owner in _ITERATORS
        if kind is types.MethodWrapperType:
            return type(value.__self__) in _ITERATORS  # type: ignore[attr-defined]
        if kind in _STREAMS or kind in _ITERATORS:
            return True
        return self._is_of_tests(kind)

    def _is_of_tests(self, kind: type) -> bool:
        """A class that the tests define, whose instances may be asked: no test case, no mock, no exception."""
        return kind.__module__ == self._namespace["__name__"] and not is_of_unittest(kind) and kind is not type

    def name_of(self, value: object) -> tuple[str, str] | None:
        if not isinstance(value, (type, *_FUNCTIONS, types.ModuleType)):
            ufunc = getattr(loaded("numpy"), "ufunc", None)
            if ufunc is None or type(value) is not ufunc:
                return None
            return "numpy", str(value.__name__)  # type: ignore[attr-defined]
        if isinstance(value, types.ModuleType):
            return None
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if type(module) is not str or type(name) is not str or module.partition(".")[0] == "unittest":
            return None
        if module == self._namespace["__name__"] and name.partition(".")[0] not in self.prelude:
            return None
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        return (module, name) if found is value else None

    def find(self, module: str, name: str) -> object:
        found = _BUILTIN_TYPES.get(name) if module == "builtins" else None
        if module == "numpy":
            found = _numpy_type(name)
        if found is None:
            raise CodecError("no name that the candidate may use")
        return found
