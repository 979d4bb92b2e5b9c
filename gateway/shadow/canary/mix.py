"""What live traffic is like, as counts: no prompt can be told from them, and they never take more room."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

from gateway.shadow.match.matcher import Form
from gateway.shadow.suites.domains import DOMAIN_OF
from gateway.shadow.threshold.inputs import HALF_OCTAVES

EDGES = HALF_OCTAVES
"""Bin k holds prompts of more than EDGES[k - 1] and at most EDGES[k] tokens; one more bin those above the last."""

NO_LIBRARY = ""
_LOOKED_AT = 128 * 1024  # characters of a prompt in which imports are looked for

_NAME = r"[\w.]+(?:[ \t]+as[ \t]+\w+)?"
_IMPORT = re.compile(
    rf"[ \t>]*+(?:from[ \t]+(?P<package>\w+)[\w.]*[ \t]+import\b"
    rf"|import[ \t]+(?P<names>{_NAME}(?:[ \t]*,[ \t]*{_NAME})*)[ \t]*(?:[#;\r]|$))"
)


def libraries_in(text: str) -> frozenset[str]:
    """The known libraries that the first 128 KB import, in code or in a doctest. Any other name is not kept."""
    found, end = set[str](), -1
    while (place := text.find("import", end + 1, _LOOKED_AT)) >= 0:  # most lines are never looked at
        start = text.rfind("\n", 0, place) + 1
        end = text.find("\n", place, _LOOKED_AT)
        end = end if end >= 0 else _LOOKED_AT
        if match := _IMPORT.match(text, start, end):
            names = [match["package"]] if match["package"] else match["names"].split(",")
            found.update(name.strip().partition(" ")[0].partition(".")[0] for name in names)
    return frozenset(found & DOMAIN_OF.keys())


class LiveMix:
    """Counts of live requests by length of prompt, imported library and form, each by itself.

    Sketches of several processes or days merge: in any order and grouping they give the same, exactly.
    """

    __slots__ = ("_forms", "_lengths", "_libraries")

    def __init__(self) -> None:
        self._lengths = [0] * (len(EDGES) + 1)
        self._libraries = Counter[str]()
        self._forms = Counter[Form]()

    def observe(self, prompt_tokens: int, libraries: Iterable[str], form: Form, *, stands_for: int = 1) -> None:
        """One request of so many tokens (rendered, routing tokenizer).

        `form`: complete for what a model is to continue, chat for what has turns before it, else instruct.
        `stands_for`: how many requests, where only one in so many is looked at. Libraries that nobody knows are not
        kept: a name can be a secret.
        """
        known = {library for library in libraries if library in DOMAIN_OF} or {NO_LIBRARY}
        self._lengths[bisect_left(EDGES, prompt_tokens)] += stands_for
        self._forms[form] += stands_for
        for library in known:
            self._libraries[library] += stands_for

    def merged(self, other: LiveMix) -> LiveMix:
        both = LiveMix()
        both._lengths = [mine + others for mine, others in zip(self._lengths, other._lengths, strict=True)]
        both._libraries = self._libraries + other._libraries
        both._forms = self._forms + other._forms
        return both

    @property
    def requests(self) -> int:
        return sum(self._lengths)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Requests in each bin: one more than EDGES."""
        return tuple(self._lengths)

    @property
    def libraries(self) -> Mapping[str, int]:
        """Requests that import each; NO_LIBRARY: that import none we know. A request may count in several."""
        return dict(sorted(self._libraries.items()))

    @property
    def forms(self) -> Mapping[Form, int]:
        return dict(sorted(self._forms.items()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LiveMix):
            return NotImplemented
        return (self._lengths, self._libraries, self._forms) == (other._lengths, other._libraries, other._forms)

    __hash__ = None  # type: ignore[assignment]  # counts change

    def to_json(self) -> dict[str, object]:
        """For a store: plain JSON values."""
        return {"edges": list(EDGES), "lengths": self._lengths[:], "libraries": self.libraries, "forms": self.forms}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Self:
        """What `to_json` gave. Raises ValueError for anything else, such as counts in other bins."""
        mix = cls()
        lengths, libraries, forms = data.get("lengths"), data.get("libraries"), data.get("forms")
        if data.get("edges") != list(EDGES) or not isinstance(lengths, list) or len(lengths) != len(mix._lengths):
            raise ValueError("a live mix with other bins of length than these can't be read")
        if not isinstance(libraries, Mapping) or not isinstance(forms, Mapping):
            raise ValueError("a live mix has counts of libraries and of forms")
        if not set(libraries) <= DOMAIN_OF.keys() | {NO_LIBRARY}:
            raise ValueError("a live mix has known libraries only")
        counts = [*lengths, *libraries.values(), *forms.values()]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("a live mix has counts only")
        mix._lengths = lengths[:]
        mix._libraries.update({library: count for library, count in libraries.items() if count})
        mix._forms.update({Form(form): count for form, count in forms.items() if count})
        return mix
