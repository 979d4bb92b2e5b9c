"""Which text is answered: tasks solved as often as planted, slips that are slips, middles, and the wire around them."""

from __future__ import annotations

import ast
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any

import pytest

from gateway.engines.simulated import infill
from gateway.engines.simulated.answers import Answers, Library
from gateway.engines.simulated.mutations import mutations, parse
from gateway.engines.simulated.tasks import Task, TaskBook, TaskFileError, TaskSettings, continues, read_tasks

MODEL = "codegeex4-all-9b"

SIGNATURE = "import math\n\ndef task_func(values, start=0):\n"
DOCSTRING = '    """\n    Sum the values from start on, and say how many there are.\n    """\n'
SOLUTION = """\
    if not values:
        raise ValueError("no values")  # nothing to sum
    total = 0
    for place in range(start, len(values)):
        if values[place] > 0:
            total += max(values[place], 0)
    ordered = sorted(values, reverse=True)
    return total, len(ordered) - start
"""


def make_task(number: int, category: str = "") -> Task:
    text = DOCSTRING.replace("Sum", f"Number {number}: sum")
    ask = (
        f"Number {number}: sum the values from start on, and say how many there are.\nStart with:\n```\n{SIGNATURE}```"
    )
    return Task(
        task_id=f"T/{number}",
        complete_prompt=SIGNATURE + text,
        instruct_prompt=ask,
        canonical_solution=SOLUTION,
        code_prompt=SIGNATURE,
        category=category,
    )


TASKS = [make_task(number, "hard" if number % 2 else "easy") for number in range(200)]


def book(seed: int = 0, model: str = MODEL, **settings: Any) -> TaskBook:
    return TaskBook(TASKS, TaskSettings(file=Path("unread"), **settings), seed=seed, model=model)


class TestMutations:
    def test_every_kind_is_made(self) -> None:
        kinds = {mutation.kind for mutation in mutations(SIGNATURE, SOLUTION)}
        assert kinds == {"off-by-one", "wrong-default", "swapped-arguments", "missing-edge-case", "wrong-return"}

    def test_each_parses_differs_and_leaves_comments_alone(self) -> None:
        original = ast.dump(ast.parse(SIGNATURE + SOLUTION))
        for mutation in mutations(SIGNATURE, SOLUTION):
            assert ast.dump(ast.parse(SIGNATURE + mutation.solution)) != original
            assert "# nothing to sum" in mutation.solution or mutation.kind == "missing-edge-case"

    def test_behaviour_changes(self) -> None:
        """Each slip of this solution is seen by one of a few calls."""
        calls: list[tuple[Any, ...]] = [
            ([3, 1, 2],),
            ([3, 1, 2], 1),
            ([],),
            ([-1, -4], 0),
            ([0, 1, 5], 2),
            ([2.5, 1], 1),
        ]

        def behaviour(solution: str) -> list[str]:
            names: dict[str, Any] = {}
            exec(SIGNATURE + solution, names)  # our own code, above
            outcomes = []
            for call in calls:
                try:
                    outcomes.append(repr(names["task_func"](*call)))
                except Exception as error:
                    outcomes.append(type(error).__name__)
            return outcomes

        right = behaviour(SOLUTION)
        unseen = [slip.kind for slip in mutations(SIGNATURE, SOLUTION) if behaviour(slip.solution) == right]
        # max(x, 0) for max(0, x), > 0 for >= 0, the order of sorting: slips without consequence, as models make them.
        assert len(unseen) <= len(mutations(SIGNATURE, SOLUTION)) / 2
        assert "wrong-return" not in unseen
        assert "missing-edge-case" not in unseen

    def test_a_solution_without_any_place_for_a_slip_is_left_unfinished(self) -> None:
        (only,) = mutations("def f():\n", "    pass")
        assert (only.kind, only.solution) == ("unfinished", "    raise NotImplementedError\n")

    def test_characters_of_several_bytes(self) -> None:
        text = '    name = "Straße €"\n    return name, "слово"\n'
        (swapped,) = mutations("def f():\n", text)
        assert swapped.solution == '    name = "Straße €"\n    return ("слово", name)\n'


class TestTasks:
    @pytest.mark.parametrize("form", ["complete_prompt", "instruct_prompt"])
    def test_found_whatever_stands_around_it(self, form: str) -> None:
        known = book()
        for task in TASKS[:20]:
            prompt = getattr(task, form)
            for text in (prompt, f"Please solve:\n```python\n{prompt.strip()}\n```\n", prompt.replace("\n", "\r\n  ")):
                found = known.find(text)
                assert found is not None
                assert found.task is task
        assert known.find("Sum the values from start on, and say how many there are.") is None
        assert known.find("") is None

    def test_pass_rates_have_the_mean_and_spread_that_were_asked_for(self) -> None:
        """Beta(m k, (1 - m) k): variance m (1 - m) / (k + 1)."""
        for mean, concentration in ((0.55, 2.0), (0.3, 8.0)):
            drawn = [
                known.solved_rate
                for seed in range(20)
                for known in book(seed, pass_rate=mean, concentration=concentration).known.values()
            ]
            assert fmean(drawn) == pytest.approx(mean, abs=0.03)
            assert pvariance(drawn) == pytest.approx(mean * (1 - mean) / (concentration + 1), rel=0.1)

    def test_categories_may_differ(self) -> None:
        known = book(pass_rate=0.9, category_pass_rates={"hard": 0.1}, concentration=20).known.values()
        rates = {name: fmean(k.solved_rate for k in known if k.task.category == name) for name in ("easy", "hard")}
        assert rates["easy"] > 0.8
        assert rates["hard"] < 0.2

    def test_solved_as_often_as_planted(self) -> None:
        known = book()
        for number in range(0, 200, 20):
            task = known.known[f"T/{number}"]
            right = fmean(known.sample(task, str(draw), 0).kind == "right" for draw in range(1000))
            assert right == pytest.approx(task.solved_rate, abs=0.06)

    def test_draws_are_repeatable_and_differ(self) -> None:
        first, again = book(), book()
        task = next(known for known in first.known.values() if 0.3 < known.solved_rate < 0.7)
        same = again.known[task.task.task_id]
        assert same == task
        drawn = [first.sample(task, str(seed), choice) for seed in range(20) for choice in range(3)]
        assert drawn == [again.sample(same, str(seed), choice) for seed in range(20) for choice in range(3)]
        assert len({sample.solution for sample in drawn}) > 3
        for other in (book(seed=1), book(model="iquest-coder-v1-40b-loop-instruct")):
            assert other.known[task.task.task_id].solved_rate != task.solved_rate

    def test_all_or_none(self) -> None:
        for rate, kinds in ((1.0, {"right"}), (0.0, set(TASKS[0].slips))):
            known = book(pass_rate=rate)
            found = Counter(known.sample(known.known["T/1"], str(draw), 0).kind for draw in range(200))
            assert set(found) == kinds

    def test_slips_can_be_limited(self) -> None:
        known = book(pass_rate=0.0, slips=["wrong-return"])
        assert {known.sample(known.known["T/1"], str(draw), 0).kind for draw in range(20)} == {"wrong-return"}
        known = book(pass_rate=0.0, slips=["unfinished"])  # which this task is never left
        assert len({known.sample(known.known["T/1"], str(draw), 0).kind for draw in range(50)}) > 1

    def test_a_task_may_say_its_own_rate_and_what_is_wrong(self) -> None:
        told = make_task(1).model_copy(update={"pass_rate": 0.25, "wrong": ("    return 1\n", "    return 2\n")})
        known = TaskBook([told], TaskSettings(file=Path("unread"), pass_rate=0.9), seed=0, model=MODEL)
        assert known.table()[0]["solved_rate"] == 0.25
        found = Counter(known.sample(known.known[told.task_id], str(draw), 0).solution for draw in range(2_000))
        assert set(found) == {told.canonical_solution, *told.wrong}
        assert found[told.canonical_solution] / 2_000 == pytest.approx(0.25, abs=0.05)
        slipping = TaskSettings(file=Path("unread"), slips=frozenset({"wrong-return"}))
        known = TaskBook([told], slipping, seed=0, model=MODEL)
        kinds = {known.sample(known.known[told.task_id], str(draw), 0).kind for draw in range(200)}
        assert kinds == {"right", "wrong-return"}

    def test_long_prompts_may_be_solved_less_often(self) -> None:
        settings = TaskSettings(file=Path("unread"), pass_rate=1.0, length_factors={8_192: 0.2, 512: 1.0})
        at = [settings.length_factor(tokens) for tokens in (0, 512, 2_048, 8_192, 100_000)]
        assert at == pytest.approx([1.0, 1.0, 0.6, 0.2, 0.2])
        known = TaskBook(TASKS, settings, seed=0, model=MODEL)
        task = known.known["T/1"]
        right = fmean(known.sample(task, str(draw), 0, 2_048).kind == "right" for draw in range(2_000))
        assert right == pytest.approx(0.6, abs=0.05)
        assert TaskSettings(file=Path("unread")).length_factor(5_000) == 1.0

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("{", "line 2"),
            ("[]", "line 2"),
            ('{"task_id": "x"}', "complete_prompt: Field required"),
            (make_task(1).model_copy(update={"canonical_solution": "  ("}).model_dump_json(), "line 2"),
            (make_task(0).model_dump_json(), "T/0 occurs twice"),
        ],
    )
    def test_a_bad_file_says_where(self, tmp_path: Path, line: str, said: str) -> None:
        path = tmp_path / "tasks.jsonl"
        path.write_text(f"{make_task(0).model_dump_json()}\n{line}\n")
        with pytest.raises(TaskFileError, match=said):
            read_tasks(path)
        path.write_text("\n")
        with pytest.raises(TaskFileError, match="no tasks"):
            read_tasks(path)


class TestAnswers:
    def test_chat_fences_the_whole_function(self) -> None:
        (text,) = Answers(Library(), book(pass_rate=1)).chat(TASKS[0].instruct_prompt, 3, 1)
        sentence, code, rest = text.split("```")
        assert sentence.strip()
        assert code == f"python\n{SIGNATURE}{SOLUTION}\n"
        assert rest == "\n"

    def test_a_completion_goes_on_where_the_prompt_ends(self) -> None:
        answers = Answers(Library(), book(pass_rate=1))
        assert answers.completion(TASKS[0].complete_prompt, None, 2) == [SOLUTION + "\n"] * 2
        assert answers.completion(TASKS[0].instruct_prompt, None, 1) == [f"{SIGNATURE}{SOLUTION}\n"]
        assert not continues(TASKS[0], TASKS[0].complete_prompt + "# and more")

    def test_requests_without_a_seed_differ_and_those_with_one_do_not(self) -> None:
        answers = Answers(Library(), book(pass_rate=0.5, concentration=1e6))
        ask = TASKS[0].instruct_prompt
        assert len({answers.chat(ask, None, 1)[0] for _ in range(30)}) > 2
        assert len({answers.chat(ask, 5, 1)[0] for _ in range(5)}) == 1
        assert len(set(answers.chat(ask, 5, 30))) > 2

    def test_other_prompts_get_the_library(self) -> None:
        library = Library()
        for answers in (Answers(library), Answers(library, book())):
            assert answers.chat("parse an ISO date", 1, 2) == [
                library.chat("parse an ISO date", 1, n) for n in range(2)
            ]
            assert answers.completion("def f", None, 1) == [library.completion("def f", 0, 0)]


GAPS = [
    ("def area(r):\n    ", "\n\nprint(area(1))\n"),
    ("def area(r):\n", "\n"),
    ("class A:\n    def f(self):", "\n    def g(self): ...\n"),
    ("x = (", ")\n"),
    ("", "\n"),
]
FORMATS = [
    "<|fim_prefix|>{P}<|fim_suffix|>{S}<|fim_middle|>",
    "<|user|>\n###PATH:a.py\n###LANGUAGE:Python\n###MODE:BLOCK\n<|code_suffix|>{S}<|code_prefix|>{P}<|code_middle|>"
    "<|assistant|>\n",
]


class TestInfill:
    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize(("prefix", "suffix"), GAPS)
    def test_a_middle_is_code_that_fits(self, form: str, prefix: str, suffix: str) -> None:
        prompt = form.replace("{P}", prefix).replace("{S}", suffix)
        assert infill.prefix_of(prompt) == prefix
        library = Library()
        for text in Answers(library).completion(prompt, None, len(library.subjects)):
            assert text
            assert "```" not in text
            assert "<|" not in text
            if prefix != "def area(r):\n":  # where the client wants it deeper, only its first line could say so
                ast.parse(
                    "async def outer():\n" + "\n".join(f" {line}" for line in (prefix + text + suffix).split("\n"))
                )

    def test_one_line_where_one_is_wanted(self) -> None:
        prompt = FORMATS[1].replace("BLOCK", "LINE").replace("{P}", "def f():\n    ").replace("{S}", "\n")
        for text in Answers(Library()).completion(prompt, None, 14):
            assert text
            assert "\n" not in text

    def test_other_prompts_are_no_gaps(self) -> None:
        assert infill.prefix_of("def f():\n") is None


@pytest.fixture(scope="module")
def task_server(start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    path.write_text("".join(f"{task.model_dump_json()}\n" for task in TASKS))
    tasks = {"file": str(path), "category_pass_rates": {"easy": 1.0, "hard": 0.0}}
    return start_server(time_scale=0.01, tasks=tasks, seed=4)


class TestOverTheWire:
    def test_answers_carry_what_was_planted(self, task_server: Any) -> None:
        solved = {task["task_id"]: task["solved_rate"] for task in task_server.get("/sim/tasks").json["tasks"]}
        assert len(solved) == len(TASKS)
        for task in TASKS[:4]:
            text = task_server.chat(task.instruct_prompt).json["choices"][0]["message"]["content"]
            code = text.split("```python\n")[1].split("```")[0]
            right = ast.dump(ast.parse(code)) == ast.dump(ast.parse(SIGNATURE + SOLUTION))
            assert float(right) == solved[task.task_id]
            body = task_server.complete(task.complete_prompt, max_tokens=400).json["choices"][0]["text"]
            ast.parse(SIGNATURE + body)
            assert (body == SOLUTION + "\n") == right

    def test_a_server_without_tasks_knows_none(self, simulated_server: Any) -> None:
        assert simulated_server.get("/sim/tasks").json["tasks"] == []


@pytest.mark.skipif(
    "YARDSTICK_TEST_DATA" not in os.environ, reason="YARDSTICK_TEST_DATA names no folder with real tasks"
)
def test_real_tasks() -> None:
    """Every task of BigCodeBench is read, is found by both of its prompts, and can go wrong."""
    tasks = read_tasks(Path(os.environ["YARDSTICK_TEST_DATA"]) / "bigcodebench" / "tasks.jsonl")
    known = TaskBook(tasks, TaskSettings(file=Path("unread")), seed=0, model=MODEL)
    for task in tasks:
        for prompt in (task.complete_prompt, task.instruct_prompt):
            found = known.find(f"Solve this:\n```python\n{prompt.strip()}\n```")
            assert found is not None
            assert found.task.complete_prompt == task.complete_prompt  # two tasks have the same prompts
    for task in tasks[::5]:  # slips take a while to make
        right = ast.dump(parse((task.code_prompt + task.canonical_solution).encode()))
        for slips in task.slips.values():
            assert ast.dump(parse((task.code_prompt + slips[0].solution).encode())) != right
    assert json.dumps(known.table())
