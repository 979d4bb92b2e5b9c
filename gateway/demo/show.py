"""What the demo prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from gateway.demo.checks import Result
from gateway.demo.engine import ALIAS, Words
from gateway.demo.workload import AUTO

_PLAIN_WIDTH = 150  # of output that goes to no terminal


def console() -> Console:
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def table(results: Sequence[Result], seconds: float, words: Words) -> Table:
    found = Table(title=f"{len(results)} requests in {seconds:.1f} s", title_justify="left", caption_justify="left")
    found.caption = words.note
    for name in ("request", "prompt tokens", "model", "reason (length known by)", words.first_token, "tokens out"):
        numeric = name in ("prompt tokens", words.first_token, "tokens out")
        found.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for result in sorted(results, key=lambda result: result.row.multi_file):
        found.add_row(*_cells(result))
    return found


def _cells(result: Result) -> tuple[str, ...]:
    row, answer = result.row, result.answer
    if answer.status != 200 or answer.problem:
        shown = f"{answer.status} {answer.error_code}" if answer.status else answer.problem
        style = "yellow" if row.refusal else "red"
        return row.name, f"{result.counted:,}", "-", f"[{style}]{shown}[/]", "-", "-"
    headers = answer.headers
    reason = f"{headers.get('x-yardstick-reason')} ({headers.get('x-yardstick-counted')})"
    first = "-" if answer.first_token is None else f"{answer.first_token:.2f} s"
    tokens = f"{answer.usage.get('prompt_tokens', 0):,}"
    return row.name, tokens, answer.model, reason, first, f"{answer.usage.get('completion_tokens', 0):,}"


def to_try(port: int) -> str:
    """Lines that can be pasted."""
    url = f"http://127.0.0.1:{port}"
    return f"""\
With curl:
  curl -si {url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "{AUTO}", "messages": [{{"role": "user", "content": "Write an LRU cache"}}]}}'
  curl -s {url}/v1/route -H 'content-type: application/json' \\
    -d '{{"model": "{ALIAS}", "messages": [{{"role": "user", "content": "Write an LRU cache"}}]}}'
With openai-python (pip install openai):
  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="any")
  for chunk in client.chat.completions.create(
      model="{AUTO}", messages=[{{"role": "user", "content": "Write an LRU cache"}}], stream=True
  ):
      print(chunk.choices[0].delta.content or "", end="")
Metrics: {url}/metrics   API description: {url}/docs
"""
