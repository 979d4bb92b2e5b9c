"""Finds the task that a live prompt is: exactly, or nearly and with the task's signature.

A request is cut down to its last user message (or completion prompt); what is longer than 16,384 characters is no bare
task and is not looked at. Exact is a text that equals a task's after `normalise`, with nothing else in the request.
Near is looked for among the tasks whose signature the text has, by TF-IDF, so most prompts cost no more than a search
for headers.

CPU time on an index of 1,140 tasks: 2.5 s to build; a prompt of 1 to 4 KB that is near a task takes 0.6 ms (median;
99 % under 2.1 ms), the hardest of 16 KB some 8 ms; see tests/gateway/shadow/match/result.md, by
`python -m tests.gateway.shadow.match.measure TASKS.jsonl`.

It can't tell whether something else is asked of a task's bare prompt ("translate this"): that is a near match too.
"""

from __future__ import annotations

from gateway.shadow.match.matcher import Form, Kind, Match, Matcher
from gateway.shadow.match.prompt import Prompt, prompt_of

__all__ = ["Form", "Kind", "Match", "Matcher", "Prompt", "prompt_of"]
