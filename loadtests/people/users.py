"""The kinds of people: who types in an editor, who chats, an agent at work, who has a task solved."""

from __future__ import annotations

from typing import Any

from locust import task

from loadtests.people import prompts
from loadtests.people.checks import Answer
from loadtests.people.person import CHAT, COMPLETIONS, Person

Messages = list[dict[str, Any]]


class Typist(Person):
    """Asks for a completion at each pause in typing, and often types on before it is there in full."""

    kind = "ide"
    weight = 10

    @task
    def complete(self) -> None:
        self.think(2.0)
        gap = prompts.gap(self.random)
        body: dict[str, Any] = {"prompt": gap.prefix, "max_tokens": 48, "temperature": 0.2}
        if self.options.fim == "suffix":
            body["suffix"] = gap.suffix
        leaves = self.random.random() < self.options.left
        self.ask(COMPLETIONS, body, leave_after=self.random.uniform(0.05, 0.5) if leaves else None)


class Chatter(Person):
    """Some turns on one matter. All conversations begin with the same system prompt, and grow by the answers."""

    kind = "chat"
    weight = 6

    @task
    def converse(self) -> None:
        messages: Messages = [{"role": "system", "content": prompts.SYSTEM}]
        for turn in range(self.random.randint(3, 6)):
            self.think(6.0)
            question = self.random.choice(prompts.FOLLOW_UPS if turn else prompts.QUESTIONS)
            messages.append({"role": "user", "content": question})
            if not self._answered(messages):
                return

    def _answered(self, messages: Messages) -> bool:
        answer = self.ask(CHAT, {"messages": messages, "max_tokens": self.random.randint(80, 300)})
        messages.append({"role": "assistant", "content": answer.text})
        return answer.done


class Agent(Person):
    """Steps on one context of many files, which grows by each answer and by what a tool found."""

    kind = "agent"
    weight = 1
    characters_per_token = 3.5  # of the model's tokenizer, learned from the answers' usage

    @task
    def work(self) -> None:
        tokens = self.random.randint(*prompts.tokens_range(self.options.agent_tokens))
        messages: Messages = [{"role": "system", "content": prompts.SYSTEM}]
        of_files = max(0, int(tokens * self.characters_per_token) - len(prompts.SYSTEM))
        found = prompts.files(self.random, of_files)
        for step in range(self.random.randint(3, 6)):
            request = self.random.choice(prompts.STEPS[1:]) if step else prompts.STEPS[0]
            messages.append({"role": "user", "content": f"{request}\n\n{found}"})
            answer = self.ask(CHAT, {"messages": messages, "max_tokens": self.random.randint(60, 200)})
            if not answer.done:
                return
            self._learn(messages, answer)
            messages.append({"role": "assistant", "content": answer.text})
            found = prompts.files(self.random, self.random.randint(2_000, 12_000))
            self.think(1.0)  # its tools run

    @classmethod
    def _learn(cls, messages: Messages, answer: Answer) -> None:
        if answer.prompt_tokens:
            cls.characters_per_token = sum(len(each["content"]) for each in messages) / answer.prompt_tokens


class Solver(Person):
    """One task of BigCodeBench after the other."""

    kind = "task"
    weight = 1

    def on_start(self) -> None:
        self.tasks_left: list[str] = []

    @task
    def solve(self) -> None:
        if not self.tasks_left:
            self.tasks_left = prompts.tasks(self.options.tasks)
            self.random.shuffle(self.tasks_left)
        content = self.tasks_left.pop()
        self.ask(CHAT, {"messages": [{"role": "user", "content": content}], "max_tokens": 512, "temperature": 0})
        self.think(2.0)
