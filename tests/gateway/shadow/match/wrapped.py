"""Prompts with something around them."""

from __future__ import annotations

import textwrap

from tests.gateway.shadow.match.sent import Body, Sent, chat, fenced

_OFFICIAL = "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
_PREFILL = (
    "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:"
)


def completion(sent: Sent) -> Body:
    return {"prompt": sent.text}


def official(sent: Sent) -> str:
    return f"{_OFFICIAL}\n{fenced(sent, '')}\n"


def official_template(sent: Sent) -> Body:
    template = f"<|im_start|>user\n{official(sent)}<|im_end|>\n<|im_start|>assistant\n{_PREFILL}\n```python\n"
    return {"prompt": template}


def known_preamble(sent: Sent) -> Body:
    known = (
        "Write a solution to the following problem and make sure that it passes the tests:",
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nCreate a Python script for this problem:",
        "Hi!\n\nCan you complete the following Python function?",
        "Please solve the problem below.\n",
    )
    system = ("system", sent.random.choice(("You are a helpful assistant.", "", "You are a helpful coding assistant")))
    return chat(system, ("user", f"{sent.random.choice(known)}\n{fenced(sent)}\n\n### Response:"))


def white_space(sent: Sent) -> str:
    lines = (line + sent.random.choice(("", " ", "  \t")) for line in sent.text.split("\n"))
    return "\r\n" * 2 + textwrap.indent("\r\n".join(lines), "    ") + "\r\n  \r\n"


# Something around it

_PREAMBLES = (
    "I need help with the following.",
    "Here's my homework for this week, please do it:",
    "Fill in the body. Use type hints where it helps and keep it readable:",
    "As a senior Python engineer you write robust, well-tested code. Implement this:",
    "We are migrating our scripts. This one is missing, write it please and explain your choices briefly:",
    "Complete this. Answer with code only, no explanations.",
    "kannst du mir bitte diese Funktion schreiben?",
    "TASK (priority: high). Return a single Python file.",
)


def unknown_preamble(sent: Sent) -> str:
    return f"{sent.random.choice(_PREAMBLES)}\n\n{fenced(sent)}\n\nThank you, that would help me a lot!"


def long_preamble(sent: Sent) -> str:
    """1,000 to 1,300 characters of instructions."""
    rules = [
        "Read the whole request before you start, and think about edge cases.",
        "Follow PEP 8, prefer the standard library, and do not invent packages that do not exist.",
        "Do not print anything unless you are asked to, and never read from standard input.",
        "Handle errors where the request says so, and let all others through.",
        "Comments should give reasons, not repeat the code. Docstrings stay as they are.",
        "If something is unclear, take the simplest reading and say in one sentence which one you took.",
        "Put all code in one block. After the block, list what you would test, in at most three bullets.",
        "Never use eval or exec. Never start threads or processes if that can be avoided.",
        "Names are lower case with underscores. Functions stay below forty lines.",
        "The answer is reviewed by a person who has not seen this conversation, so it has to stand by itself.",
        "Imports go to the top of the file, those of the standard library first.",
        "Prefer early returns to deep nesting, and comprehensions to loops that append.",
    ]
    sent.random.shuffle(rules)
    return "# Rules\n" + "\n".join(f"- {rule}" for rule in rules) + f"\n\n# Request\n{fenced(sent)}"


def after_turns(sent: Sent) -> Body:
    return chat(("user", "Do you know Python?"), ("assistant", "I do. What shall I write?"), ("user", fenced(sent)))


def unknown_system(sent: Sent) -> Body:
    return chat(("system", "You are a pair programmer. Never use third-party packages."), ("user", fenced(sent)))
