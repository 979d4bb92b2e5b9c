"""What deciding by prompt length costs and how often it is wrong, on the length mix of real traces.

This one load test speaks no HTTP and imports the gateway's own request reading, counting and rule: the decision's CPU
time cannot be told apart from the rest of a request over HTTP, and being right can only be judged next to an exact
count.

Traces are public files of request lengths (not prompts), looked for in ``$YARDSTICK_TEST_DATA/traces``; prompts of
those lengths are made of the Python standard library's sources, of JSON-escaped code, of tables and of documentation.
Without the folder a small list of lengths and `demo-bpe` stand in. In Mooncake's trace equal block ids share text, as
conversations do; ``--unique`` makes every block different, so that remembered counts are of no use.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import sysconfig
import tempfile
import time
from collections import Counter as Tally
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from gateway.families import MODELS, render
from gateway.request import Request, Route
from gateway.tokens import Counter, Tokens, demo, load_counter
from routing.length import Count, Counted, Decision, PoolFacts, Rule, TooLong, choose

SHORT, LONG = MODELS["codegeex4-all-9b"], MODELS["iquest-coder-v1-40b-loop-instruct"]
BLOCK = 512  # tokens: the trace's unit of shared prefixes
COUNTING = 10**9


class Job(NamedTuple):
    """One line of a trace: lengths in tokens, and the ids of its blocks (none: nothing is shared)."""

    prompt: int
    output: int
    blocks: tuple[int, ...] = ()


def traces(folder: Path | None) -> dict[str, list[Job]]:
    if folder is None or not folder.is_dir():
        lengths = random.Random(7)
        return {"synthetic": [Job(int(lengths.lognormvariate(8.3, 1.2)) + 20, 256) for _ in range(2000)]}
    with (folder / "AzureLLMInferenceTrace_code.csv").open() as lines:
        azure = [Job(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(lines)]
    mooncake = []
    for line in (folder / "mooncake_conversation_trace.jsonl").read_text().splitlines():
        row = json.loads(line)
        mooncake.append(Job(row["input_length"], row["output_length"], tuple(row["hash_ids"])))
    return {"azure-code-2023": azure, "mooncake-conversation": mooncake}


class Texts:
    """Blocks of about 512 tokens of real text, of several kinds."""

    def __init__(self, counter: Counter) -> None:
        self._kinds = [_in_blocks(text, counter) for text in _corpora().values()]

    def block(self, number: int, salt: int) -> str:
        """Blocks with near numbers are of one kind, as within a conversation; two in five are plain code."""
        chooser = random.Random(number // 16 * 1_000_003 + salt)
        kind = self._kinds[chooser.choice((0, 0, 0, 0, 1, 2, 3, 4, 5, 5))]
        return kind[random.Random(number * 7_919 + salt).randrange(len(kind))]

    def prompt(self, job: Job, place: int, *, unique: bool) -> str:
        whole, rest = divmod(job.prompt, BLOCK)
        shared = bool(job.blocks) and not unique
        numbers = job.blocks if shared else tuple(place * 1_000 + at for at in range(whole + 1))
        parts = [] if shared else [f"# request {place}\n"]
        for at, number in enumerate(numbers[: whole + 1]):
            text = self.block(number, 0 if shared else 1 + place)
            if not shared:
                middle = len(text) // 2
                text = f"{text[:middle]}\n# {place}.{at}\n{text[middle:]}"
            parts.append(text if at < whole else text[: len(text) * rest // BLOCK])
        return "".join(parts)


def _corpora() -> dict[str, str]:
    """Six kinds of text, each of 0.5 to 6 MB, from 2 to 5 bytes a token."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = [path for path in sorted(library.rglob("*.py")) if "site-packages" not in path.parts]
    random.Random(3).shuffle(files)
    tables = [path for path in files if path.parent.name in ("encodings", "idlelib", "unicodedata")]
    code = "".join(path.read_text("utf-8", errors="replace") for path in files[:400])[:6_000_000]
    table = "".join(path.read_text("utf-8", errors="replace") for path in tables)[:2_000_000]
    rows = random.Random(5)
    cells = [f"{rows.uniform(0, 1000):.{rows.randrange(5)}f}" for _ in range(144_000)]
    numbers = "\n".join(",".join(cells[at : at + 12]) for at in range(0, len(cells), 12))
    listing = [{"id": at, "path": str(path), "size": [at, at * 7]} for at, path in enumerate(files)]
    aligned = "\n".join(f"{name.stem:<40}{name.stat().st_size:>12}    {name.parent.name:<24}|" for name in files)
    topics = library / "pydoc_data" / "topics.py"
    prose = topics.read_text("utf-8", errors="replace") if topics.exists() else code[:500_000]
    return {
        "code": code,
        "tables": table + aligned,
        "escaped JSON": json.dumps({"files": [code[:1_000_000]]}),
        "indented JSON": json.dumps(listing, indent=4),
        "numbers": numbers,
        "documentation": prose,
    }


def _in_blocks(text: str, counter: Counter) -> list[str]:
    blocks: list[str] = []
    at = 0
    while at < len(text) and len(blocks) < 1500:
        guess = text[at : at + 2048]
        size = max(256, int(2048 * BLOCK / max(1, counter.count(guess, COUNTING).tokens)))
        blocks.append(text[at : at + size])
        at += size
    return blocks[:-1] or blocks


class Outcome(NamedTuple):
    """``right``: as exact counting would have it; ``fits``: the prompt and its output fit the model it goes to."""

    method: str
    right: bool
    fits: bool
    exact: int


class Setup:
    """The two pools and the rule, as the gateway has them by default."""

    def __init__(self, counter: Counter, judge: Counter, workers: ThreadPoolExecutor, rule: Rule) -> None:
        self.rule = rule
        self.pools = {model.name: Tokens(model, workers, counter=counter) for model in (SHORT, LONG)}
        self.judge = judge

    def facts(self, name: str) -> PoolFacts:
        tokens = self.pools[name]
        window = tokens.model.pool_window
        return PoolFacts(name, window, tokens.expansion, tokens.overhead, tokens.bytes_per_token)

    async def decide(self, request: Request) -> Decision | TooLong:
        ask = request.ask(1024)
        short, long = self.facts(SHORT.name), self.facts(LONG.name)
        counts: dict[str, Counted] = {}
        while isinstance(outcome := choose(ask, self.rule, short, long, counts), Count):
            wanted = outcome
            counts[wanted.model] = await self.pools[wanted.model].count(request.route.value, request.body.raws, wanted)
        return outcome

    def judged(self, outcome: Decision | TooLong, messages: list[dict[str, str]], output: int) -> Outcome:
        receiver = SHORT if outcome.model == SHORT.name else LONG
        exact = self.judge.count(render(SHORT, {"messages": messages}), COUNTING).tokens
        here = self.judge.count(render(receiver, {"messages": messages}), COUNTING).tokens
        room = receiver.pool_window - output
        if isinstance(outcome, TooLong):
            return Outcome("too-long", here > room, True, exact)
        short = exact <= min(self.rule.threshold, SHORT.pool_window - output)
        return Outcome(outcome.method, (outcome.model == SHORT.name) == short, here <= room, exact)


async def run(setup: Setup, texts: Texts, jobs: list[Job], *, unique: bool) -> dict[str, Any]:
    outcomes: list[Outcome] = []
    cpu: list[float] = []
    for place, job in enumerate(jobs):
        messages = [
            {"role": "system", "content": "You are a helpful coding assistant."},
            {"role": "user", "content": texts.prompt(job, place, unique=unique)},
        ]
        fields = {"model": "auto", "messages": messages, "max_tokens": job.output}
        request = Request(Route.CHAT, json.dumps(fields, ensure_ascii=place % 2 == 0).encode())
        started = time.process_time()
        outcome = await setup.decide(request)
        cpu.append(time.process_time() - started)
        outcomes.append(setup.judged(outcome, messages, job.output))
    return summary(outcomes, cpu)


def summary(outcomes: list[Outcome], cpu: list[float]) -> dict[str, Any]:
    count = len(outcomes)
    ordered = sorted(cpu)
    methods = Tally(outcome.method for outcome in outcomes)
    return {
        "requests": count,
        "prompt_tokens_p50": sorted(outcome.exact for outcome in outcomes)[count // 2],
        "cpu_ms_mean": round(1e3 * sum(cpu) / count, 3),
        "cpu_ms_p50": round(1e3 * ordered[count // 2], 3),
        "cpu_ms_p99": round(1e3 * ordered[count * 99 // 100], 3),
        "methods_percent": {name: round(100 * number / count, 1) for name, number in sorted(methods.items())},
        "wrong_percent": round(100 * sum(not outcome.right for outcome in outcomes) / count, 3),
        "wrong_exact_tokens": [outcome.exact for outcome in outcomes if not outcome.right][:20],
        "not_fitting": sum(not outcome.fits for outcome in outcomes),
    }


def report(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield f"{'trace':<34}{'n':>7}{'p50 tok':>9}{'CPU ms mean':>13}{'p99':>8}{'wrong %':>9}{'no fit':>8}  decided by (%)"
    for name, found in results.items():
        methods = ", ".join(f"{method} {share}" for method, share in found["methods_percent"].items())
        yield (
            f"{name:<34}{found['requests']:>7}{found['prompt_tokens_p50']:>9}{found['cpu_ms_mean']:>13}"
            f"{found['cpu_ms_p99']:>8}{found['wrong_percent']:>9}{found['not_fitting']:>8}  {methods}"
        )


def load(data: Path | None, folder: Path) -> tuple[Counter, Counter, str]:
    """The tokenizer that decides, and a second one without memory that judges."""
    path = None if data is None else data / "tokenizers" / "glm4" / "tokenizer.json.gz"
    name = "GLM-4"
    if path is None or not path.exists():
        path, name = demo.train(folder / "demo.json"), demo.NAME
    return load_counter(str(path)), Counter.load(path, cache_bytes=0), name


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=1500, help="requests of each trace, evenly spread (0: all)")
    parser.add_argument("--unique", action="store_true", help="only prompts that share nothing")
    parser.add_argument("--exact", action="store_true", help="count every prompt, for comparison")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    configured = os.environ.get("YARDSTICK_TEST_DATA")
    data = Path(configured) if configured else None
    with tempfile.TemporaryDirectory() as folder:
        counter, judge, tokenizer = load(data, Path(folder))
    texts = Texts(judge)
    rule = Rule(exact="always" if options.exact else "near")
    results = {}
    with ThreadPoolExecutor(2) as workers:
        for name, jobs in traces(None if data is None else data / "traces").items():
            chosen = jobs[:: max(1, len(jobs) // options.sample)] if options.sample else jobs
            for unique in (True,) if options.unique or not chosen[0].blocks else (False, True):
                setup = Setup(counter, judge, workers, rule)
                label = name + (", nothing shared" if unique else ", shared prefixes")
                results[label] = asyncio.run(run(setup, texts, chosen, unique=unique))
    if options.json:
        print(json.dumps({"tokenizer": tokenizer, "exact": rule.exact, "results": results}, indent=2))
        return
    print(f"tokenizer {tokenizer}, threshold {rule.threshold}; objective: mean <= 1 ms, wrong <= 0.1 %, no fit 0")
    for line in report(results):
        print(line)


if __name__ == "__main__":
    main()
