"""The same task at any length: real files around its prompt, which stays as it is, word for word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from random import Random

from gateway.shadow.canary.distractors import Distractors, Part
from gateway.shadow.canary.draw import Draw, seeded
from gateway.shadow.canary.plan import Inflation
from gateway.shadow.canary.prompt import Prompt, RoutingTokens
from gateway.shadow.canary.sources import Source
from gateway.shadow.suites.task import Task

LABEL = "inflated"

_LEAD = (
    "Some files of a repository and one task follow, in no particular order. The files need not have to do with the"
    " task. Do the task, and nothing else."
)
_TRIES = 6  # files to cut: one is nearly always enough, as what is left over is less than its next line
_ROUNDS = 5  # each counts the whole prompt once; with the tokenizers that cut at ends of lines, one is enough


class Position(StrEnum):
    """Of the task among the files. A completion goes on where its prompt ends, so there it is always the end.

    Drawn, then named by what came of it: with little room, no file may fit on one of the two sides of the middle.
    """

    BEGINNING = "beginning"
    MIDDLE = "middle"
    END = "end"


class OutOfReach(ValueError):
    """The target can't be hit. The message says why."""


@dataclass(frozen=True, slots=True)
class Inflated:
    """`tokens`: of the rendered prompt, counted. `tokens_before`: of the files before the task.

    `files`: paths, with the lines that were kept of each. `digest`: of their texts, in order; the same draw with the
    same files gives the same.
    """

    prompt: Prompt
    target: int
    tokens: int
    position: Position
    tokens_before: int
    files: tuple[tuple[str, int], ...]
    digest: str
    label: str = LABEL


def inflate(
    draw: Draw, task: Task, prompt: Prompt, distractors: Distractors, tokens: RoutingTokens, settings: Inflation
) -> Inflated:
    """`prompt` between files, `settings.slack` below the draw's target at most and never above.

    Raises OutOfReach: too few files, or a target that the task's own prompt nearly fills.
    """
    if draw.target is None:
        raise OutOfReach(f"draw {draw.id} has no target: its prompt is sent as it is")
    random, slack = seeded(draw.id, LABEL), settings.slack(draw.target)
    share = random.choice((0.0, random.uniform(0.25, 0.75), 1.0)) if prompt.chat else 1.0
    order, around = random.getrandbits(64), _Surroundings(prompt, distractors, tokens)
    room = draw.target - tokens.rendered(around.text((), ()))
    for _ in range(_ROUNDS):
        before, after = around.fill(room, share, slack // 2, distractors.shuffled(task, Random(order)))
        found = around.text(before, after)
        actual = tokens.rendered(found)
        if draw.target - slack <= actual <= draw.target and (before or after):
            return Inflated(
                prompt=found,
                target=draw.target,
                tokens=actual,
                position=Position.BEGINNING if not before else Position.END if not after else Position.MIDDLE,
                tokens_before=sum(map(around.cost, before)),
                files=tuple((part.source.path, part.text.count("\n") + 1) for part in [*before, *after]),
                digest=_digest([*before, *after]),
            )
        room += draw.target - actual - slack // 4
    raise OutOfReach(_why(task, draw.target, tokens.rendered(prompt), actual))


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """How files stand around a prompt: as tagged files in a conversation, as commented code in a completion."""

    prompt: Prompt
    distractors: Distractors
    tokens: RoutingTokens

    def fill(
        self, room: int, share: float, slack: int, files: Iterator[Source]
    ) -> tuple[Sequence[Part], Sequence[Part]]:
        """Parts for `room` tokens, `share` of them before the task. No file comes twice."""
        before = self._side(int(room * share), slack, files)
        left = room - sum(map(self.cost, before))
        return before, self._side(left, slack, files) if share < 1 else ()

    def _side(self, room: int, slack: int, files: Iterator[Source]) -> list[Part]:
        """Whole files as long as they fit, then beginnings of others, until about `slack` tokens of room are left."""
        parts, tries = list[Part](), _TRIES
        while room > slack and tries and (source := next(files, None)) is not None:
            part = self.distractors.part(source, room - self._header(source))
            if part is None or part.text != source.text:
                tries -= 1
            if part is not None:
                parts.append(part)
                room -= self.cost(part)
        return parts

    def cost(self, part: Part) -> int:
        return self._header(part.source) + part.tokens

    def _header(self, source: Source) -> int:
        return sum(map(self.tokens.count, self._ends(source)))

    def _ends(self, source: Source) -> tuple[str, str]:
        if self.prompt.chat:
            return f'<file path="{source.path}">\n', "\n</file>\n\n"
        return f"# {source.path}\n", "\n\n\n"

    def text(self, before: Sequence[Part], after: Sequence[Part]) -> Prompt:
        blocks = ["".join(part.text.join(self._ends(part.source)) for part in parts) for parts in (before, after)]
        if not self.prompt.chat:
            return replace(self.prompt, text=f"{blocks[0]}# task.py\n{self.prompt.text}")
        behind = f"\n{blocks[1].rstrip()}\n" if after else ""
        return replace(self.prompt, text=f"{_LEAD}\n\n{blocks[0]}{self.prompt.text}{behind}")


def _digest(parts: Sequence[Part]) -> str:
    digest = blake2b(digest_size=8)
    for part in parts:
        text = part.text.encode()
        digest.update(f"{part.source.path}\n{len(text)}\n".encode() + text)
    return digest.hexdigest()


def _why(task: Task, target: int, own: int, actual: int) -> str:
    if own >= target:
        return f"{task.task_id} has {own:,} tokens by itself, so it can't be brought to {target:,}"
    return (
        f"{task.task_id} came to {actual:,} tokens, not {target:,}: there are too few files that do not name its entry"
        " point (give a larger folder), or too little room for any, or their lines are too long for the tolerance"
    )
