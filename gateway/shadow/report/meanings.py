"""What a report's figures mean, in the words that it carries with it."""

from __future__ import annotations

from gateway.shadow.gate.draws import Kind
from gateway.shadow.report.traffic import ASSUMPTION

KINDS = {
    Kind.LIVE_EXACT: "a live prompt that is a task's prompt",
    Kind.LIVE_NEAR: "a live prompt that is nearly a task's: an edited requirement makes its tests wrong",
    Kind.MIRROR: "the other family's answer to a live prompt that matched",
    Kind.CANARY: "a task that the gateway injected beside live traffic",
}

MEANINGS = {
    "pass@1": "the mean over tasks of passing / all completions; a timeout and an answer cut at its limit of tokens"
    " fail, an error, a shed, a cancelled and an impossible run (beyond the window) are in no rate",
    "this suite": "these tasks, other completions",
    "tasks like these": "other tasks of which these are a sample; t with one degree of freedom less than tasks",
    "95 %": "each interval holds by itself and at one look: of twenty, one misses. To decide, and to look often,"
    " there is the gate",
    "weighted": "Hájek's mean: each draw counts one over its propensity. For live prompts that is the rate over all"
    " that matched, not only the sampled ones (stands_for, the sum of the weights, is Horvitz and Thompson's estimate"
    " of how many); for canaries each task, form and bucket of their design counts the same, and stands_for says"
    " nothing. A mirror has its sample's propensity: that a budget took some samples and not others is not corrected",
    "pairs": "families are compared on pairs only: the same prompt, both families. A pair is of its sample's kind of"
    " evidence. Without a verdict on one side (error, shed) a pair is dropped, and the bounds are given with all"
    " dropped ones against the first family and in its favour",
    "in-process": "checked in the candidate's own process: such a pass can be forged",
    "inflated": "the task's prompt with distractor files around it, to reach a length",
    "traffic-weighted": "canaries, weighted to be as long and of the forms that live prompts are. " + ASSUMPTION,
    "counted": "by the processes that sample, of whole days in UTC; only --since and --until choose among them",
} | {kind.value: meaning for kind, meaning in KINDS.items()}
