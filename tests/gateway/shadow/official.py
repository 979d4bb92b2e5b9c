"""The official harness's extraction, run by a Python that has bigcodebench 0.2.5, tree-sitter and tree-sitter-python.

``python -m tests.gateway.shadow.official PYTHON`` records anew what the tests compare with when that is not at hand.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.gateway.shadow.answers import PROGRAMS, answer, scraps

RECORDED = Path(__file__).with_name("official_answers.jsonl")
DIGESTS = Path(__file__).with_name("official_digests.txt")
OF_TASKS = 300

# `bigcodebench.data` fetches and reads the data set; extraction needs none of it, nor its many dependencies.
_SCRIPT = """
import json, sys, types, warnings
data = sys.modules["bigcodebench.data"] = types.ModuleType("bigcodebench.data")
data.get_bigcodebench = data.load_solutions = data.write_directory = data.write_jsonl = None
from bigcodebench.sanitize import sanitize
warnings.simplefilter("ignore")
print(json.dumps([sanitize(answer, "task_func") for answer in json.load(sys.stdin)]))
"""


def official(python: str, answers: Sequence[str]) -> list[str]:
    """What its ``sanitize`` makes of each, for the entry point ``task_func``."""
    done = subprocess.run(
        [python, "-c", _SCRIPT], input=json.dumps(answers), capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


def answers_to_tasks(tasks: Path) -> list[str]:
    """Answers made from BigCodeBench's own solutions, always the same ones."""
    random = Random(5)
    rows = [json.loads(line) for line in tasks.read_text().splitlines()]
    programs = [row["complete_prompt"] + row["canonical_solution"] for row in rows]
    return [answer(random, random.choice(programs)) for _ in range(OF_TASKS)]


def digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def main(python: str) -> None:
    random = Random(4)
    answers = [scraps(random) for _ in range(130)] + [answer(random, random.choice(PROGRAMS)) for _ in range(34)]
    pairs = zip(answers, official(python, answers), strict=True)
    RECORDED.write_text("".join(json.dumps({"answer": text, "code": code}) + "\n" for text, code in pairs))
    tasks = Path(os.environ["YARDSTICK_TEST_DATA"]) / "bigcodebench" / "tasks.jsonl"
    DIGESTS.write_text("".join(f"{digest(code)}\n" for code in official(python, answers_to_tasks(tasks))))


if __name__ == "__main__":
    main(sys.argv[1])
