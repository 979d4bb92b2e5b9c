from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.shadow.match.normalise import normalise

PROMPT = 'import re\n\ndef task_func(a):\n    """Count \'a  b\' in a.\n\n    - one\n    """'
INNER = '    """\n    ```\n    x\n    ```\n    """'
PIECES = (
    "```",
    "```python",
    "~~~",
    "Task:",
    "### Response:",
    "    ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    " ",
    "x",
    "\ufeff",
    "Please",
)


@pytest.mark.parametrize(
    "wrapped",
    [
        f"```python\n{PROMPT}\n```",
        f"~~~~\n{PROMPT}\n~~~~",
        f"Hi!\n\nPlease complete the following function:\n```py\n{PROMPT}\n```\nThank you!",
        f"```\nTask:\n```python\n{PROMPT}\n```\n```".replace("```\nTask", "````\nTask").removesuffix("```") + "````",
        PROMPT.replace("\n", "\r\n") + "\r\n",
        PROMPT.replace("\n", "\r"),
        PROMPT.replace("\n", "  \t\n"),
        PROMPT.replace("\n\n", "\n\n \n\n"),
        "\ufeff\n\n" + "\n".join(f"    {line}" for line in PROMPT.split("\n")),
    ],
)
def test_wrapping_is_taken_away(wrapped: str) -> None:
    assert normalise(wrapped) == PROMPT


@pytest.mark.parametrize(
    "other",
    [
        PROMPT.replace("a  b", "a b"),
        PROMPT.replace("Count", "count"),
        PROMPT.replace("\n    - one", "\n  - one"),
        PROMPT.replace("one", "two"),
        PROMPT.replace("\n\n    -", "\n    -"),
        f"Please complete the following function in C:\n{PROMPT}",
        f"Please complete the following function, but not too fast:\n{PROMPT}",
        f"{PROMPT}\nAnswer in German.",
        f"```\n{PROMPT}\n```\n```\nx = 1\n```",
        f"```javascript\n{PROMPT}\n```",
    ],
)
def test_everything_else_counts(other: str) -> None:
    assert normalise(other) != PROMPT


def test_a_fence_may_hold_an_indented_one() -> None:
    prompt = f"def f():\n{INNER}"
    assert normalise(f"```\n{prompt}\n```") == prompt
    shallow = f"```\n{prompt.replace('    ', '   ')}\n```"
    assert normalise(shallow) == shallow


def test_many_layers_are_kept() -> None:
    wrapped = PROMPT
    for marks in range(3, 12):
        wrapped = f"{'`' * marks}\n{wrapped}\n{'`' * marks}"
    assert normalise(wrapped) == wrapped
    assert normalise(wrapped.split("\n", 1)[1].rsplit("\n", 1)[0]) == PROMPT


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
@example("\x0b\n")
@example("```\n```\n```")
def test_twice_is_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
