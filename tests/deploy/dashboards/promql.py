"""What a query names: enough of PromQL to find metrics and labels in it. Prometheus' own parser judges the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_WINDOW = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"(?<![\w:$])([a-zA-Z_:][\w:]*)(\{[^}]*\})?(?![\w:]*\s*\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})
_LABEL = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")


@dataclass(frozen=True, slots=True)
class Selected:
    metric: str
    labels: frozenset[str]


def selected(query: str) -> Iterator[Selected]:
    """Every metric, with the labels it is selected by."""
    bare = _WINDOW.sub("", _GROUPING.sub(" ", _STRING.sub('""', query)))
    for name, matchers in _SELECTOR.findall(bare):
        if name not in _WORDS:
            yield Selected(name, frozenset(_LABEL.findall(matchers)))


def grouped_by(query: str) -> frozenset[str]:
    """Labels that are kept, left out or joined on."""
    groups = _GROUPING.findall(_STRING.sub('""', query))
    return frozenset(label.strip() for group in groups for label in group.split(",") if label.strip())


def filled_in(query: str, values: dict[str, str]) -> str:
    """With values in the variables' places, as Grafana sends it."""
    return VARIABLE.sub(lambda found: values[found.group(1)], query)
