"""``python -m tests.gateway.shadow.match.measure TASKS.jsonl [result.md]``: how well, and how fast, tasks are matched.

The tasks are halved. Of each half three draws are made: half of it is the index, the other half is held out. The
threshold is the lowest (in steps of .05) at which at least 99.7 % of what matched was right in the first half; the
table is the second half, at the threshold of the code. Everything is drawn from one seed; it takes two minutes.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from gateway.shadow.match import Form, Matcher, Prompt
from gateway.shadow.match.matcher import THRESHOLD
from gateway.shadow.suites.load import load
from gateway.shadow.suites.task import Suite, SuiteKind, Task
from tests.gateway.shadow.match import strangers
from tests.gateway.shadow.match.edited import paraphrased
from tests.gateway.shadow.match.perturb import Expected
from tests.gateway.shadow.match.sent import Sent
from tests.gateway.shadow.match.trial import Outcome, halved, perturbed, run, unrelated

SEED = 6
WHOLE = 1_140
OTHER_ASK = "something else asked of the prompt"
"""The row that can't be told from an unknown preamble, so that all of it matches."""
LONG_INSTRUCTIONS = "1,000 characters of instructions"
_DRAWS = 3
_PRECISION = 0.997


def outcomes(tasks: Sequence[Task], random: Random, *, threshold: float, beside_five: bool) -> Iterator[Outcome]:
    """Of half of the tasks as an index, drawn several times."""
    for _ in range(_DRAWS):
        indexed, others = halved(tasks, random)
        trials = [*perturbed(indexed, random), *unrelated(indexed, others, beside_five=beside_five)]
        yield from run(Matcher(indexed, threshold=threshold), trials)


def precision_and_recall(found: Sequence[Outcome], threshold: float) -> tuple[float, float]:
    """Over perturbations that leave the requirement alone, and, for precision, prompts of no task in the index."""
    near = [outcome for outcome in found if outcome.trial.expected is Expected.NEAR]
    strange = [outcome for outcome in found if not outcome.trial.task_id]
    right = sum(outcome.right(threshold) for outcome in near)
    matched = sum(outcome.matched(threshold) for outcome in [*near, *strange])
    return right / matched if matched else 1.0, right / len(near)


def precision_with_other_asks(found: Sequence[Outcome], threshold: float) -> float:
    """Where prompts count, too, in which something else is asked of a task's text: whatever matches there is wrong."""
    asked_else = sum(outcome.matched(threshold) for outcome in found if outcome.trial.row == OTHER_ASK)
    near = [outcome for outcome in found if outcome.trial.expected is Expected.NEAR]
    strange = [outcome for outcome in found if not outcome.trial.task_id]
    matched = asked_else + sum(outcome.matched(threshold) for outcome in [*near, *strange])
    return sum(outcome.right(threshold) for outcome in near) / matched if matched else 1.0


def lowest_threshold(found: Sequence[Outcome]) -> float:
    candidates = [step / 20 for step in range(6, 20)]
    return next((each for each in candidates if precision_and_recall(found, each)[0] >= _PRECISION), 1.0)


def distinct(tasks: Iterable[Task]) -> list[Task]:
    """Without tasks that have a prompt of an earlier one: which of the two is right can't be said."""
    kept = dict[str, Task]()
    for task in tasks:
        if not any(text in kept for _, text in strangers.texts(task)):
            kept.update((text, task) for _, text in strangers.texts(task))
    return list(dict.fromkeys(kept.values()))


def table(found: Sequence[Outcome]) -> Iterator[str]:
    yield "| prompt | has to be | n | exact | near | another task | no match | recall | precision |"
    yield "|---|---|---|---|---|---|---|---|---|"
    yield from (_line(row, each) for row, each in _by_row(found).items())


def _by_row(found: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    rows = dict[str, list[Outcome]]()
    for outcome in found:
        rows.setdefault(outcome.trial.row, []).append(outcome)
    return rows


def _line(row: str, found: Sequence[Outcome]) -> str:
    expected, n = found[0].trial.expected, len(found)
    matched = sum(outcome.match is not None for outcome in found)
    right = sum(outcome.right(0) for outcome in found)
    exact = sum(outcome.exact and outcome.right(0) for outcome in found)
    rates = f"{right / n:.3f} | {right / matched if matched else 0:.3f}"
    if expected in (Expected.NOT_EXACT, Expected.NONE):
        rates = "|"
    return f"| {row} | {expected} | {n} | {exact} | {right - exact} | {matched - right} | {n - matched} | {rates} |"


def speed(tasks: Sequence[Task], random: Random) -> Iterator[str]:
    """CPU time, on an index of as many tasks as BigCodeBench has, filled up with paraphrased copies."""
    copies = [
        replace(task, task_id=f"copy/{number}", complete_prompt=paraphrased(Sent(task, Form.COMPLETE, text, random)))
        for number, task in enumerate(tasks[: max(0, WHOLE - len(tasks))])
        for text in [task.complete_prompt]
    ]
    started = time.process_time()
    matcher = Matcher([*tasks, *copies])
    built = time.process_time() - started
    yield f"- an index of {len(tasks) + len(copies):,} tasks ({len(copies)} of them paraphrased copies): {built:.1f} s"
    texts = [f"Do this.\n{text}" for task in tasks for _, text in strangers.texts(task)]
    typical = sorted(_seconds(matcher, text) for text in texts if 1_000 <= len(text) <= 4_000)
    yield f"- a prompt of 1 to 4 KB that is near a task: {_figures(typical)} ({len(typical)} prompts)"
    other = "\n".join(strangers.own_text())
    others = sorted(_seconds(matcher, other[start : start + 3_000]) for start in range(0, 600_000, 3_000))
    yield f"- 3 KB of other text, every second with a header of many tasks: {_figures(others)}"
    longest = [_seconds(matcher, other[:16_000] + "\ndef task_func(df):\n")]
    yield f"- 16 KB, the most that is looked at, with such a header: {_figures(longest)}"
    yield f"- 400 KB: {_figures([_seconds(matcher, other[:400_000])])}"


def _seconds(matcher: Matcher, text: str) -> float:
    """The best of five: other programs' use of the processor's caches costs CPU time too."""
    prompt, best = Prompt(text), 1e9
    for _ in range(5):
        started = time.process_time()
        matcher.match(prompt)
        best = min(best, time.process_time() - started)
    return best


def _figures(seconds: Sequence[float]) -> str:
    milliseconds = [each * 1_000 for each in seconds]
    if len(milliseconds) == 1:
        return f"{milliseconds[0]:.2f} ms"
    middle, high = milliseconds[len(milliseconds) // 2], milliseconds[len(milliseconds) * 99 // 100]
    return f"median {middle:.2f} ms, 99 % under {high:.2f} ms, all under {milliseconds[-1]:.2f} ms"


def whole_index(tasks: Sequence[Task], random: Random) -> Iterator[str]:
    """Whether a task is found among all of them, where more have its header."""
    near = [trial for trial in perturbed(tasks, random) if trial.expected is Expected.NEAR]
    found = run(Matcher(tasks), near)
    right, matched = sum(outcome.right(0) for outcome in found), sum(outcome.match is not None for outcome in found)
    yield f"In an index of all {len(tasks):,} tasks, of {len(found):,} prompts that have to be live-near {right:,}"
    yield f"found their task (recall {right / len(found):.3f}), {matched - right} another one. Recall by row:\n"
    for row, each in _by_row(found).items():
        yield f"- {row}: {sum(outcome.right(0) for outcome in each) / len(each):.3f}"


def _in_short(found: Sequence[Outcome]) -> Iterator[str]:
    precision, recall = precision_and_recall(found, 0)
    asked_else = precision_with_other_asks(found, 0)
    _, with_instructions = precision_and_recall(_by_row(found)[LONG_INSTRUCTIONS], 0)
    yield f"**In the second half: precision {precision:.4f}, recall {recall:.4f}; precision {asked_else:.4f} if prompts"
    yield f"count, too, in which something else is asked of a task's text; recall {with_instructions:.4f} behind 1,000"
    yield "characters of instructions.** The first two are over all rows that have to be live-near and, for precision,"
    yield "all prompts that are no task of the index. Rows that only must not be live-exact are in none of these.\n"


def report(suite: Suite, name: str) -> Iterator[str]:
    random, tasks = Random(SEED), distinct(suite.tasks.values())
    first, second = halved(tasks, random)
    beside_five = suite.kind is not SuiteKind.FIVE
    chosen = lowest_threshold(list(outcomes(first, random, threshold=1e-9, beside_five=beside_five)))
    found = list(outcomes(second, random, threshold=THRESHOLD, beside_five=beside_five))
    left_out, groups = len(suite.tasks) - len(tasks), Matcher(suite.tasks.values()).groups
    yield "# Live prompts and tasks\n"
    yield f"`python -m tests.gateway.shadow.match.measure {name}`, on {len(tasks)} tasks ({left_out} left out that"
    yield f"have the prompt of another), seed {SEED}."
    yield f"Python {platform.python_version()} on {platform.machine()}; no library takes part.\n"
    yield f"Lowest threshold with a precision of {_PRECISION} in the first half: {chosen:.2f}."
    yield f"In the code: {THRESHOLD:.2f}.\n"
    yield from _in_short(found)
    yield from table(found)
    yield ""
    yield from whole_index(tasks, random)
    yield f"\nNearly the same ({len(groups)} groups): {'; '.join(', '.join(group) for group in groups)}.\n"
    yield "CPU time, one thread, the best of five:\n"
    yield from speed(tasks, random)


def main() -> None:
    suite = load(sys.argv[1] if len(sys.argv) > 1 else "five")
    text = "".join(f"{line}\n" for line in report(suite, Path(sys.argv[1]).name if len(sys.argv) > 1 else ""))
    print(text, end="")
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
