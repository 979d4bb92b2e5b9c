"""Tests that must fail, run among the real ones: whatever makes everything pass shows itself by them."""

from __future__ import annotations

import random
from collections.abc import Sequence

CLASS = "Controls"

# Each fails whatever the numbers are. The names of classes and numbers are new in every run.
_BODIES = (
    "self.assertEqual({a}, {b})",
    "self.assertTrue({a} == {b})",
    "assert {a} == {b}, '{a}'",
    "self.assertIn({a}, [{b}])",
    "self.assertAlmostEqual({a}.5, {b}.5)",
    "self.assertIsNone({a})",
    "self.assertEqual([{a}, 'x{a}'], [{a}, 'x{b}'])",
    "self.assertEqual({{'k': {a}}}, {{'k': {b}}})",
    "raise RuntimeError('{a}')",
    "self.fail('{a}')",
    "self.assertIsInstance('x{a}', int)",
    "self.assertFalse({a} < {a} + {b})",
    "\n        with self.assertRaises(KeyError):\n            len('x{a}')",
)


class Controls:
    """`order`: the real names in their order, with `names` among them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._random = random.SystemRandom()
        count = min(max(len(names), 3), 8)
        bodies = self._random.sample(_BODIES, count)
        self.names = {f"test_{self._random.getrandbits(64):x}": body for body in bodies}
        self.order = list(names)
        for name in self.names:
            self.order.insert(self._random.randint(0, len(self.order)), name)

    def source(self) -> str:
        lines = ["import unittest", f"class {CLASS}(unittest.TestCase):"]
        for name, body in self.names.items():
            a, b = self._random.getrandbits(60), self._random.getrandbits(60) | 1 << 61
            lines += [f"    def {name}(self):", f"        {body.format(a=a, b=b)}"]
        return "\n".join(lines) + "\n"
