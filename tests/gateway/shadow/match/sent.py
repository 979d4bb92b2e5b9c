"""A task's prompt, and requests made of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from gateway.shadow.match import Form
from gateway.shadow.suites.task import Task

Body = dict[str, object]


@dataclass(frozen=True, slots=True)
class Sent:
    """A prompt of a task, to be changed."""

    task: Task
    form: Form
    text: str
    random: Random

    @property
    def parts(self) -> Parts:
        return _parts(self.task, self.form, self.text)


class Parts(NamedTuple):
    """What is written in words stands in `words`; text before and behind it is code."""

    before: str
    words: str
    behind: str


def _parts(task: Task, form: Form, text: str) -> Parts:
    if form is Form.INSTRUCT:
        end = re.search(r"(?:You should write|Write) self-contained code", text)
        assert end, task.task_id
        return Parts("", text[: end.start()], text[end.start() :])
    start = re.search(rf"(?:def|class) {task.entry_point}\b", text)
    quotes = start and re.compile(r"\"\"\"|'''").search(text, start.end())
    assert quotes, task.task_id
    end_of = text.rindex(quotes[0])
    return Parts(text[: quotes.end()], text[quotes.end() : end_of], text[end_of:])


def chat(*messages: tuple[str, str], **fields: object) -> Body:
    return {"messages": [{"role": role, "content": content} for role, content in messages], **fields}


def fenced(sent: Sent, language: str = "python") -> str:
    """A complete prompt is code; an instruct prompt has a block of its own."""
    return f"```{language}\n{sent.text.strip()}\n```" if sent.form is Form.COMPLETE else sent.text.strip()
