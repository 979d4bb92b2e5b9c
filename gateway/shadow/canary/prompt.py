"""A task's prompt as the official harness sends it, and its length.

Source: bigcodebench 0.2.5 (Apache-2.0), `generate.py` and `provider/{base,utility,openai,vllm}.py`. Its OpenAI client
sends a chat model one user message and nothing else: an instruction, a line end, then the task's prompt without white
space around it (the complete form between two lines of three backquotes), a line end. A base model gets the complete
form alone, unchanged, with stop texts, and its answer is put behind that prompt before code is cut out of it. Where it
runs a model itself it also writes the beginning of the answer, which no client of a gateway does: we don't either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.shadow.match.matcher import Form
from gateway.shadow.suites.task import Suite, Task

INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
)
STOPS = (
    *("<|endoftext|>", "<|endofmask|>", "</s>", "\nif __name__", "\ndef main(", "\nprint("),
    *("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert "),
)
"""Of a base model: an answer ends where its function does."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """`text`: of the one user message, or the whole prompt of a completion.

    `answer_start`: what is put before the answer before code is cut out of it.
    """

    text: str
    chat: bool = True
    stops: tuple[str, ...] = ()
    answer_start: str = ""

    def fields(self) -> dict[str, object]:
        """Those of a request's body that hold the prompt."""
        if self.chat:
            return {"messages": [{"role": "user", "content": self.text}]}
        return {"prompt": self.text, "stop": list(self.stops)}


def prompt_of(task: Task, form: Form, *, direct_completion: bool = False) -> Prompt:
    """Raises ValueError where there is no such prompt."""
    if direct_completion:
        if form is not Form.COMPLETE:
            raise ValueError(f"a base model can only be given the complete form, not {form}")
        return Prompt(task.complete_prompt, chat=False, stops=STOPS, answer_start=task.complete_prompt)
    if form is Form.COMPLETE:
        return Prompt(f"{INSTRUCTION}\n```\n{task.complete_prompt.strip()}\n```\n")
    if form is Form.INSTRUCT and not task.instruct_prompt:
        raise ValueError(f"{task.task_id} has no instruct prompt (HumanEval has none)")
    if form is Form.INSTRUCT:
        return Prompt(f"{INSTRUCTION}\n{task.instruct_prompt.strip()}\n")
    raise ValueError("a task has a complete and an instruct prompt; turns before it are no form of canaries")


@dataclass(frozen=True, slots=True)
class RoutingTokens:
    """`count`: tokens of a text. `overhead`: what the chat template puts around one user message, in tokens."""

    count: Callable[[str], int]
    overhead: int = 0

    def rendered(self, prompt: Prompt) -> int:
        return self.count(prompt.text) + (self.overhead if prompt.chat else 0)


OwnLengths = Mapping[tuple[str, Form], int]
"""By task and form: tokens of the rendered prompt as it is, not inflated. Forms that a task lacks are left out."""


def own_lengths(
    suite: Suite, forms: tuple[Form, ...], tokens: RoutingTokens, *, direct_completion: bool = False
) -> OwnLengths:
    """Counts every prompt once."""
    return {
        (task.task_id, form): tokens.rendered(prompt_of(task, form, direct_completion=direct_completion))
        for task in suite.tasks.values()
        for form in forms
        if form is not Form.INSTRUCT or task.instruct_prompt
    }
