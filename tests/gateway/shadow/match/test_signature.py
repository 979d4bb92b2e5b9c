from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.match.signature import Signature, signature_of, signatures

HEADER = "def f(a, b: dict[str, int] = {'x': 1}, *args, c=lambda x: x, d='a, b') -> list[int]:\n"
SIGNATURE = Signature("f", "a, b = { 'x' : 1 }, * args, c = lambda x : x, d = 'a, b'")


def found(text: str) -> list[Signature]:
    return list(signatures(text, {"f", "C"}))


@pytest.mark.parametrize(
    "same",
    [
        HEADER,
        "def f(a, b={'x': 1}, *args, c=lambda x: x, d='a, b'):",
        'def  f( a,b = {"x":1},\n  *args, # more\n  c = lambda x:x,\n  d = "a, b",\n):',
        "Start with `def f(a, b={'x': 1}, *args, c=lambda x: x, d='a, b'):` please.",
    ],
)
def test_what_says_nothing_to_a_caller(same: str) -> None:
    assert found(same) == [SIGNATURE] == [signature_of(HEADER, "f")]


@pytest.mark.parametrize(
    "other",
    [
        HEADER.replace("(a, ", "("),
        HEADER.replace("(a,", "(A,"),
        HEADER.replace("'x': 1", "'x': 2"),
        HEADER.replace("*args", "args"),
        HEADER.replace("d='a, b'", "d='a,  b'"),
        HEADER.replace("a, b:", "b, a:"),
    ],
)
def test_what_a_caller_can_tell(other: str) -> None:
    assert found(other) != [SIGNATURE]


@pytest.mark.parametrize(
    "none",
    ["def g(a):", "async def f(a):", "redef f(a):", "def f(a", "def f(a)", "def f(a: int", "x.def f(a):", "def f:"],
)
def test_no_header(none: str) -> None:
    assert found(none) == []


@pytest.mark.parametrize(
    ("body", "written"),
    [
        ("", False),
        ('    """What to do.\n\n    return 1\n    """\n', False),
        ("    '''Cut off\n    return 1\n", False),
        ("    # your code here\n    pass\n", False),
        ("    ...\n", False),
        ("    raise NotImplementedError('later')\n", False),
        ("```\nThank you.", False),
        ("\nThen call it.", False),
        ("    return a\n", True),
        ('    """What to do."""\n    return a\n', True),
        ('    """What to do."""\n\n    # now\n    return a\n', True),
    ],
)
def test_only_what_is_left_to_be_written(body: str, written: bool) -> None:
    assert (found(f"def f(a):\n{body}") == []) is written
    indented = "".join(f"  {line}" for line in f"def f(a):\n{body}".splitlines(keepends=True))
    assert (found(indented) == []) is written


def test_a_body_on_the_same_line() -> None:
    assert found("def f(a): return a") == []
    assert found("def f(a): ...") == [Signature("f", "a")]


def test_a_class_is_its_name() -> None:
    assert found("class C(Base):\n    x = 1") == [Signature("C", "class")] == [signature_of("class C:\n", "C")]


def test_the_entry_point_is_the_last_header_of_its_name() -> None:
    assert signature_of("def f(a):\n    pass\n\ndef g(b):\n    pass\n\ndef f(c):\n", "f") == Signature("f", "c")
    assert signature_of("f = 1", "f") is None


def test_no_more_than_eight() -> None:
    assert len(found("def f(a):\n" * 100)) == 8


@given(st.lists(st.sampled_from(["def f(", "class C", *"abc,:=()[]{}'\"#\\\n \t\0", "->", "**", '"""'])).map("".join))
def test_any_text(text: str) -> None:
    assert all(signature.name in ("f", "C") for signature in found(text))
