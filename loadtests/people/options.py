"""What can be asked of the people on locust's command line. Each option can be an environment variable as well."""

from __future__ import annotations

from typing import Any

from locust import events

from loadtests.people import mixes, prompts, shapes
from loadtests.people.checks import Expected

FIM = ("suffix", "off")
SHAPES = ("steady", *shapes.SHAPES)


@events.init_command_line_parser.add_listener
def add(parser: Any, **_: Any) -> None:
    def option(name: str, text: str, default: Any, **more: Any) -> None:
        variable = f"YARDSTICK_LOAD_{name.upper().replace('-', '_')}"
        kind = {} if isinstance(default, str) else {"type": type(default)}
        parser.add_argument(f"--{name}", env_var=variable, help=text, default=default, **kind, **more)

    option("api-key", "sent as a bearer token", "", is_secret=True)
    option("model", "the model that is asked for", "auto")
    option("expect", "the model that has to answer, or KIND=MODEL,KIND=MODEL; kinds: ide, chat, agent, task", "")
    option("mix", "who comes", "team", choices=tuple(mixes.MIXES))
    option(
        "shape",
        "how many of --users are there when: all, more in four steps, or a fifth and all at once",
        "steady",
        choices=SHAPES,
    )
    option(
        "fim",
        "how editors ask: with a suffix, or by the prompt alone, for servers that take none",
        "suffix",
        choices=FIM,
    )
    option("left", "share of completions that their typist leaves because the typing went on", 0.3)
    option("pace", "factor of all thinking times; 0: nobody thinks", 1.0)
    option("agent-tokens", "how long agents' prompts begin, about: FEWEST-MOST", "20000-120000")
    option("tasks", "JSONL of tasks in BigCodeBench's schema; default: a few of the project's own", "")
    option(
        "most-failed", "share of requests that may fail before the exit code is 1; wrong content always makes it", 0.0
    )
    option("answers", "end after so many requests, if that is before --run-time and without workers; 0: no limit", 0)
    option("records", "file that gets one JSON line for each request", "")
    option("seed", "of everything that is drawn, with the number of the user", 1)
    option("short-rate", "mix arrivals: short prompts a second", 4.0)
    option("long-rate", "mix arrivals: long prompts a second", 0.1)
    option("arrivals-seconds", "mix arrivals: for how long they come; all are waited for", 60.0)


@events.init.add_listener
def check(environment: Any, **_: Any) -> None:
    """Refuses what can't be meant before anybody is started."""
    given = environment.parsed_options
    try:
        prompts.tokens_range(given.agent_tokens)
        Expected.of(given.expect)
        prompts.tasks(given.tasks)
        prompts.prepare()
    except ValueError as error:
        raise SystemExit(str(error)) from error
