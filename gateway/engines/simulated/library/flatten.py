from collections.abc import Iterator
from typing import Any


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Turn nested dicts and lists into one dict with dotted keys: {"a": [{"b": 1}]} -> {"a.0.b": 1}."""
    return dict(_walk(value, prefix))


def _walk(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = dict(enumerate(value)).items()
    else:
        yield prefix, value
        return
    for key, child in children:
        yield from _walk(child, f"{prefix}.{key}" if prefix else str(key))
