"""Answers as models give them, made from programs by chance (seeded): in prose, in fences, with guards, cut off."""

from __future__ import annotations

from random import Random

PROGRAMS = (
    """\
from collections import Counter

STOP = {'a', 'the'}


def words(text):
    return text.lower().split()


def task_func(text, most=3):
    '''The most common words.

    >>> task_func('b b c')
    [('b', 2)]
    '''
    found = Counter(word for word in words(text) if word not in STOP)
    return found.most_common(most)""",
    """\
import json
import logging

log = logging.getLogger(__name__)


class Store:
    def __init__(self, path):
        self.path = path

    def load(self):
        with open(self.path) as file:
            return json.load(file)


def task_func(path):
    try:
        data = Store(path).load()
    except (OSError, ValueError) as error:
        log.warning(f"no data in {path}: {error}")
        return {}
    else:
        return data""",
    """\
import re, os
from math import (
    sqrt,
    pi,
)
LIMITS: dict = {
    'low': 1,
    'high': 10,
}
round_to = lambda x: int(x)

async def fetch(url):
    return await url

def task_func(numbers):
    total = 0
    for number in numbers:
        if number < LIMITS['low']:
            continue
        elif number > LIMITS['high']:
            total += pi
        else:
            total += sqrt(number)
    # rounded
    return round_to(total)""",
)

_HELPER = "def spare(a, b):\n    '''Not needed.'''\n    # adds\n    return a + b\n"
_ALL_LINES = (
    "Here is the code: it's easy|```python|```|# Title||   |- a list|1. first|Note (see below|def broken(:|"
    "x = (|]|'''|\"\"\"|else:|try:|    try:|    pass|\tpass|except ValueError:|finally:|if x:|elif y:|"
    "print 'a'|return 3|@dec|@dec(|class A:|x = 1 \\|\\|}|{|    return x|x = 5; y = 6|async def q():|"
    "    await z|with open(x) as f:|    # c|match x:|    case 1:|        pass|for i in x:|lambda: (yield)|"
    "from __future__ import annotations|import os, sys|a.b = c|a, b = c|x: int = 3|x = '''a|f'{x}'|f'{x'|"
    "\x0cdef g(): pass|1 +|not|\xa0|x = \"|assert task_func(1) == 2|if __name__ == '__main__':|"
    "    task_func()|def task_func(a):|def helper(b):|    return helper(a)|CONST = 1|0777|x = 1L|y = 3\r|"
    "print(1)\rprint(2)|    x = [1,|        2]|    '''doc|    '''|global z|x += 1|del x|c = task_func|"
    "task_func.cache = c|a.b = c = CONST"
)
_LINES = _ALL_LINES.split("|")


def answer(random: Random, program: str) -> str:
    """``program`` (its entry point is ``task_func``) as a model may give it."""
    code = program
    additions = (
        (0.3, lambda: f"{_HELPER}\n{code}"),
        (0.3, lambda: f"{code}\n\n{_HELPER}"),
        (0.25, lambda: f"{code}\n\nif __name__ == '__main__':\n    print(task_func())\n"),
        (0.2, lambda: f"{code}\n# Example usage\nresult = task_func(3)\nprint(result)\n"),
        (0.2, lambda: code + random.choice(("\n    # done", "  # ok", "\n\n    # one\n    # two\n# three"))),
        (0.15, lambda: code[: random.randrange(len(code))]),
        (0.05, lambda: code.replace("    ", "\t")),
        (0.05, lambda: code.replace("\n", "\r\n")),
    )
    for chance, added in additions:
        if random.random() < chance:
            code = added()
    fenced = f"```python\n{code}\n```"
    return random.choice(
        (
            code,
            f"Here is a solution that does what you ask for:\n\n{fenced}\n\nIt reads the input (and isn't slow).",
            f"Sure!\n\n{fenced}\n",
            f"Sure!\n```\n{code}",
            f"First try:\n```python\nimport os\nprint('x')\n```\nBetter:\n{fenced}",
            f"{code}\n```\nExplanation: it's done.",
            f"1. Do it:\n{code}\n2. Then call task_func()",
            "    " + code.replace("\n", "\n    "),
            f"\n\n{code}\n\n",
        )
    )


def scraps(random: Random) -> str:
    """Lines that hardly belong together, one in five damaged."""
    lines = [random.choice(_LINES) for _ in range(random.randint(1, 14))]
    if random.random() < 0.5:
        program = random.choice(PROGRAMS).split("\n")
        start, at = random.randrange(len(program)), random.randrange(len(lines) + 1)
        lines[at:at] = program[start : start + random.randint(3, 12)]
    text = "\n".join(lines)
    if random.random() < 0.2:
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice("()[]{}'\"\\:;#\t \n=.@") + text[at + random.randint(0, 2) :]
    return text.replace("\n", "\r\n") if random.random() < 0.1 else text
