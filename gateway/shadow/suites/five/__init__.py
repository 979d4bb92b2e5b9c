"""The suite `five`: tasks of our own in BigCodeBench's schema, in five categories.

A task is one Markdown file, `<category>/<number>_<name>.md`:

    # <entry point>
    What to do, in words.
    ## Parameters, ## Returns, ## Raises, ## Example    (each may be left out)
    ## Solution     a whole module; the part up to the entry point's header is what the prompt gives
    ## Tests        a unittest class `TestCases`
    ## Wrong: why   a plausible mistake: hunks that edit the solution (`@@` between two), or a whole module

Answers in the task (`canonical_solution`, `wrong`) begin with the entry point's body, as in BigCodeBench; `program`
makes a whole module of one.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from pathlib import Path
from typing import TypedDict

CATEGORIES = ("algorithms", "api_use", "debugging", "documentation", "multi_hop")

_HEADING = re.compile(r"^## (Parameters|Returns|Raises|Example|Solution|Tests|Wrong: .+)\n", re.MULTILINE)
_FENCED = re.compile(r"\s*(`{3,})(python|diff)\n(?P<code>.*)\n\1\s*", re.DOTALL)


class FiveTask(TypedDict):
    """BigCodeBench's fields (all text; `doc_struct` is JSON, `libs` a Python list), then our own two."""

    task_id: str
    complete_prompt: str
    instruct_prompt: str
    canonical_solution: str
    code_prompt: str
    test: str
    entry_point: str
    doc_struct: str
    libs: str
    category: str
    wrong: tuple[str, ...]


def tasks() -> tuple[FiveTask, ...]:
    """Every task, by category and number. ValueError names the file that is malformed."""
    folder = Path(__file__).parent
    return tuple(
        _read(path) for category in CATEGORIES for path in sorted((folder / category).glob("*.md"), key=_number)
    )


def program(task: FiveTask, solution: str) -> str:
    """The module that an answer without its header stands for, put together as BigCodeBench does for its own."""
    return f"{task['code_prompt']}\n    pass\n{solution}"


def _number(path: Path) -> int:
    return int(path.name.partition("_")[0])


def _read(path: Path) -> FiveTask:
    try:
        return _parse(path.read_text(encoding="utf-8"), category=path.parent.name, number=_number(path))
    except (KeyError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path.parent.name}/{path.name}: {error}") from error


def _parse(text: str, *, category: str, number: int) -> FiveTask:
    intro, *parts = _HEADING.split(text)
    title, _, description = intro.partition("\n")
    entry_point = title.removeprefix("# ").strip()
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    solution = _code(sections["Solution"])
    code_prompt = _up_to_body(solution, entry_point)
    texts = {name: sections.get(name, "").strip() for name in ("Parameters", "Returns", "Raises", "Example")}
    texts = {"": description.strip()} | {name: text for name, text in texts.items() if text}
    wrong = (_wrong(body, solution) for name, body in sections.items() if name.startswith("Wrong: "))
    return FiveTask(
        task_id=f"five/{category}/{number}",
        complete_prompt=_complete_prompt(code_prompt, texts),
        instruct_prompt=_instruct_prompt(code_prompt, texts),
        canonical_solution=_body(solution, code_prompt),
        code_prompt=code_prompt,
        test=_code(sections["Tests"]),
        entry_point=entry_point,
        doc_struct=json.dumps(_doc_struct(code_prompt, texts)),
        libs=str(_libraries(code_prompt)),
        category=category,
        wrong=tuple(_body(code, code_prompt) for code in wrong),
    )


def _code(section: str) -> str:
    match = _FENCED.fullmatch(section)
    if match is None:
        raise ValueError(f"expected one fenced block, got {section.strip()[:60]!r}")
    return match["code"] + "\n"


def _up_to_body(solution: str, entry_point: str) -> str:
    """The module's text through the entry point's header, whatever number of lines that has."""
    for node in ast.parse(solution).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == entry_point:
            return "".join(solution.splitlines(keepends=True)[: node.body[0].lineno - 1])
    raise ValueError(f"the solution does not define {entry_point}")


def _body(module: str, code_prompt: str) -> str:
    if not module.startswith(code_prompt):
        raise ValueError("a wrong answer changes what the prompt gives")
    return module.removeprefix(code_prompt)


def _wrong(section: str, solution: str) -> str:
    code = _code(section)
    if "```diff" not in section:
        return code
    for hunk in re.split(r"^@@\n", code, flags=re.MULTILINE):
        solution = _edited(solution, hunk.splitlines())
    return solution


def _edited(solution: str, hunk: list[str]) -> str:
    old = "".join(f"{line[1:]}\n" for line in hunk if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in hunk if not line.startswith("-"))
    if f"\n{solution}".count(f"\n{old}") != 1:
        raise ValueError(f"these lines are not exactly once in the solution: {old!r}")
    return f"\n{solution}".replace(f"\n{old}", f"\n{new}").removeprefix("\n")


def _complete_prompt(code_prompt: str, texts: dict[str, str]) -> str:
    doc = "\n\n".join(f"{name}:\n{text}" if name else text for name, text in texts.items())
    quotes = "'''" if '"""' in doc else '"""'
    prefix = "r" if "\\" in doc else ""
    return code_prompt + textwrap.indent(f"{prefix}{quotes}\n{doc}\n{quotes}\n", "    ")


def _instruct_prompt(code_prompt: str, texts: dict[str, str]) -> str:
    words = "\n".join(f"{name}:\n{text}" if name else text for name, text in texts.items() if name != "Example")
    return f"{words}\nWrite self-contained code that starts with:\n```\n{code_prompt}```"


def _doc_struct(code_prompt: str, texts: dict[str, str]) -> dict[str, list[str]]:
    names = {"description": "", "params": "Parameters", "returns": "Returns", "raises": "Raises", "examples": "Example"}
    lines = {field: texts.get(name, "").splitlines() for field, name in names.items()}
    return lines | {"notes": [], "reqs": _libraries(code_prompt)}


def _libraries(code_prompt: str) -> list[str]:
    """The top-level modules the prompt imports. The prompt ends at a header, so a body makes it parse."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(f"{code_prompt}    pass\n")):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return sorted(found)
