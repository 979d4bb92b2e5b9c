"""Prompts in other words, of other tasks, or that ask for something else."""

from __future__ import annotations

import re
import textwrap

from gateway.shadow.match import Form
from tests.gateway.shadow.match.sent import Body, Sent, chat, fenced

# The same in other words

_SYNONYMS = """
    calculate:compute calculates:computes create:make creates:makes generate:produce generates:produces return:give
    returns:gives find:locate finds:locates remove:delete removes:deletes check:verify checks:verifies using:with
    given:provided list:sequence string:text function:routine number:count numbers:values specified:stated
    based:relying contains:holds containing:holding file:document files:documents value:entry values:entries
    convert:turn converts:turns each:every random:arbitrary dictionary:mapping column:field columns:fields
    data:information directory:folder
"""
_SAME = dict(pair.split(":") for pair in _SYNONYMS.split())


def paraphrased(sent: Sent) -> str:
    """Every word of the description that has a synonym in the list is replaced."""

    def other(word: re.Match[str]) -> str:
        found = _SAME.get(word[0].lower(), word[0])
        return found.capitalize() if word[0][0].isupper() else found

    before, words, behind = sent.parts
    return before + re.sub(r"[A-Za-z]+", other, words) + behind


def reflowed(sent: Sent) -> str:
    before, words, behind = sent.parts
    margin = "    " if sent.form is Form.COMPLETE else ""
    paragraphs = re.split(r"\n[ \t]*\n", words.strip())
    again = "\n\n".join(textwrap.fill(p, 57, initial_indent=margin, subsequent_indent=margin) for p in paragraphs)
    return f"{before}\n{again}\n{margin}{behind}"


def truncated(sent: Sent) -> str:
    """Without the last third of the description, which mostly holds examples; an instruct prompt has none."""
    before, words, behind = sent.parts
    return before + words[: len(words) * 2 // 3] + ("\n    " if sent.form is Form.COMPLETE else "\n") + behind


def header_restyled(sent: Sent) -> str | None:
    """Without the result's type, the other quotes, a space after each bracket of the header."""
    header = re.search(rf"def {sent.task.entry_point}\((.*)\).*:\n", sent.text)
    if header is None:
        return None
    parameters = header[1].replace("'", "\0").replace('"', "'").replace("\0", '"')
    if "''" in parameters or '""' in parameters or "\\" in parameters:
        return None
    return sent.text.replace(header[0], f"def {sent.task.entry_point}(\n    {parameters},\n):\n")


# Another requirement

_ADDED = (
    "The result must be sorted in descending order.",
    "Do not raise any exceptions; return None on errors.",
    "Ignore duplicates.",
    "Negative numbers count twice.",
)


def number_edited(sent: Sent) -> str | None:
    before, words, behind = sent.parts
    numbers = list(re.finditer(r"(?<![\w.])\d+", words))
    if not numbers:
        return None
    number = sent.random.choice(numbers)
    other = str(int(number[0]) + sent.random.choice((1, 2, 10)))
    return before + words[: number.start()] + other + words[number.end() :] + behind


def name_edited(sent: Sent) -> str | None:
    before, words, behind = sent.parts
    names = list(re.finditer(r"(?<=['\"`])[A-Za-z_]\w*(?=['\"`])", words)) or list(re.finditer(r"\b[a-z]+_\w+", words))
    if not names:
        return None
    name = sent.random.choice(names)
    return before + words[: name.end()] + "_id" + words[name.end() :] + behind


def word_edited(sent: Sent) -> str:
    """One word of three letters or more, anywhere in the description, becomes another."""
    before, words, behind = sent.parts
    word = sent.random.choice(list(re.finditer(r"[A-Za-z]{3,}", words)))
    other = "lowest" if word[0] != "lowest" else "highest"
    return before + words[: word.start()] + other + words[word.end() :] + behind


def sentence_added(sent: Sent) -> str:
    before, words, behind = sent.parts
    return f"{before}{words.rstrip()}\n    {sent.random.choice(_ADDED)}\n    {behind}"


def said_before(sent: Sent) -> str:
    return f"{sent.random.choice(_ADDED)}\n{fenced(sent)}"


def said_in_turns(sent: Sent) -> Body:
    return chat(("user", sent.random.choice(_ADDED)), ("assistant", "Understood."), ("user", fenced(sent)))


# Another function, or no task at all


def renamed(sent: Sent) -> str:
    """In the header; a docstring's examples still have the old name."""
    return re.sub(rf"(def|class)( +){sent.task.entry_point}\b", r"\1\2solve_it", sent.text)


def renamed_everywhere(sent: Sent) -> str:
    return re.sub(rf"\b{sent.task.entry_point}\b", "process_items", sent.text)


def parameter_added(sent: Sent) -> str | None:
    """A class has none in its header."""
    header = rf"(def {sent.task.entry_point}\()(?=(\)?))"
    text, count = re.subn(header, lambda found: found[1] + ("verbose" if found[2] else "verbose, "), sent.text)
    return text if count else None


def solved(sent: Sent) -> str | None:
    """A question about code that there is."""
    if sent.form is Form.INSTRUCT or sent.task.code_prompt.rstrip().endswith(f"class {sent.task.entry_point}:"):
        return None
    code = f"{sent.text.rstrip()}\n{sent.task.canonical_solution.strip(chr(10))}"
    return f"Why is this slow?\n\n```python\n{code}\n```"


_OTHER_ASKS = (
    "Translate this to JavaScript:",
    "Write pytest tests for the following, do not implement it:",
    "Rewrite the description so that a beginner understands it. No code.",
    "Is this specification complete? List what is ambiguous.",
)


def other_ask(sent: Sent) -> str:
    return f"{sent.random.choice(_OTHER_ASKS)}\n\n{fenced(sent)}"
