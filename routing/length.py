"""Which model answers a prompt, by its length, and whether the prompt fits that model's window.

Pure: the caller supplies what it knows, and is told either the decision or what to count next::

    while isinstance(outcome := choose(ask, rule, short, long, counts), Count):
        counts[outcome.model] = await counter.count(..., outcome)

A model is asked for at most once, so the loop ends after at most two counts. All lengths are in tokens unless they
say bytes. The threshold is in the short model's tokens; a window is in the tokens of the model that receives.
Three things always hold: an estimate never rejects; the long model never falls back to the short one; the short one
is never given what is known not to fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Method = Literal["bounded", "estimated", "counted", "unsplittable"]
Reason = Literal[
    "short-prompt", "long-prompt", "short-window", "short-unavailable", "named-model", "only-model", "only-able-model"
]


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What one pool's tokenizer and window let us say without counting.

    ``window``: prompt and output together. ``expansion``: most tokens that one UTF-8 byte of text can become (None:
    unknown, so nothing is bounded). ``overhead``: most tokens that the chat template adds around the client's text.
    ``bytes_per_token``: the present estimate, learned from use.
    """

    model: str
    window: int
    expansion: int | None
    overhead: int
    bytes_per_token: float


class Ask(NamedTuple):
    """One request's length, as far as it is known without tokenizing.

    ``text_bytes``: an upper bound, in UTF-8 bytes, of everything of the client's that the template prints (of a list
    of prompts: the largest). ``output``: tokens reserved for the answer. ``likely_bytes``: the probable length, which
    estimates divide (0: ``text_bytes``). ``tokens``: the exact length of a prompt that came as token ids. ``cap``:
    the server cuts the prompt down to this many tokens (``truncate_prompt_tokens``). ``cut_to_window``: it cuts the
    prompt down to whatever its window is. ``times``: all prompts of a list together, as a multiple of the largest.
    """

    text_bytes: int
    output: int
    likely_bytes: int = 0
    tokens: int | None = None
    cap: int | None = None
    cut_to_window: bool = False
    times: float = 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """``exact``: "always" counts every prompt, "near" only those whose estimate is near a limit.

    Band edges are shares of the threshold. Outside ``rough_low``..``rough_high`` bytes divided by the learned ratio
    decide; outside ``fine_low``..``fine_high`` a finer estimate, made from the text itself, decides; within, only a
    count does. ``window_free`` is the share of a window that an estimate must leave free to pass without a count.
    """

    threshold: int = 8192
    exact: Literal["near", "always"] = "near"
    rough_low: float = 0.35
    rough_high: float = 2.0
    fine_low: float = 0.95
    fine_high: float = 1.05
    window_free: float = 0.25


class Counted(NamedTuple):
    """What a count found. ``complete`` is False where counting stopped early: ``tokens`` is then a lower bound.

    ``unsplittable``: the text has no place where it may be cut, and counting it whole would cost too much.
    ``estimated``: nothing was counted; ``tokens`` is an estimate.
    """

    tokens: int
    complete: bool
    unsplittable: bool = False
    estimated: bool = False


class Decision(NamedTuple):
    """``tokens``: the prompt's length by ``method``: an upper bound, an estimate, a count, or a lower bound."""

    model: str
    tokens: int
    method: Method
    reason: Reason


class Count(NamedTuple):
    """Not decided yet: count with this model's tokenizer, stop once past ``up_to``, then ask again.

    An estimate made from the text will do instead if it lies below ``low`` or above ``high``; with ``low`` 0 and
    ``high`` None only a count does.
    """

    model: str
    up_to: int
    low: int = 0
    high: int | None = None


class TooLong(NamedTuple):
    """The prompt does not fit, by count: ``tokens`` (at least) and ``output`` exceed ``window``."""

    model: str
    window: int
    tokens: int
    output: int


def choose(
    ask: Ask, rule: Rule, short: PoolFacts, long: PoolFacts, counts: Mapping[str, Counted]
) -> Decision | Count | TooLong:
    """The model for ``auto``: short up to the threshold, long beyond it or where the short window is too small."""
    limit = min(rule.threshold, short.window - ask.output)
    beyond: Reason = "long-prompt" if limit == rule.threshold else "short-window"
    if ask.cap is not None and ask.cap > short.window:  # model servers refuse that, however short the prompt is
        return _admit(ask, rule, long, counts, "short-window", short_says=None)
    bound = _bound(ask, short)
    if bound is not None and bound <= limit and rule.exact == "near":
        return Decision(short.model, bound, "bounded", "short-prompt")
    counted = counts.get(short.model)
    if counted is None:
        estimate = _estimate(ask, short)
        safe = bound is not None and bound + ask.output <= short.window
        if limit <= 0 or (rule.exact == "near" and estimate > rule.rough_high * limit):
            return _admit(ask, rule, long, counts, beyond, short_says=None)
        if rule.exact == "near" and safe and estimate < rule.rough_low * limit:
            return Decision(short.model, estimate, "estimated", "short-prompt")
        if rule.exact == "always":
            return Count(short.model, limit)
        return Count(short.model, limit, int(rule.fine_low * limit) if safe else 0, int(rule.fine_high * limit))
    if _short_may_answer(ask, counted, limit, bound, short):
        return Decision(short.model, counted.tokens, _method(counted), "short-prompt")
    return _admit(ask, rule, long, counts, beyond, short_says=counted)


def check(ask: Ask, rule: Rule, pool: PoolFacts, counts: Mapping[str, Counted]) -> Decision | Count | TooLong:
    """Whether a model that the client named can take the prompt."""
    return _admit(ask, rule, pool, counts, "named-model", short_says=None)


def _admit(
    ask: Ask, rule: Rule, pool: PoolFacts, counts: Mapping[str, Counted], reason: Reason, short_says: Counted | None
) -> Decision | Count | TooLong:
    """Pass if the bound fits or the estimate leaves room; otherwise only a count decides.

    ``short_says``: what the short model's tokenizer found, which explains a decision that needs no count of its own.
    """
    room = pool.window - ask.output
    if room <= 0:
        return TooLong(pool.model, pool.window, ask.tokens or 0, ask.output)
    if ask.cut_to_window:  # the answer's length as well
        room = pool.window
        ask = ask._replace(cap=room, output=0)
    if ask.tokens is not None:
        tokens = ask.tokens if ask.cap is None else min(ask.tokens, ask.cap)
        if tokens > room:
            return TooLong(pool.model, pool.window, tokens, ask.output)
        return Decision(pool.model, tokens, "counted", reason)
    counted = counts.get(pool.model)
    if counted is None:
        bound = _bound(ask, pool)
        fits = bound is not None and bound <= room
        estimate = _estimate(ask, pool)
        roomy = rule.exact == "near" and estimate + ask.output <= (1 - rule.window_free) * pool.window
        if (fits or roomy) and short_says is not None:
            return Decision(pool.model, short_says.tokens, _method(short_says), reason)
        if rule.exact == "always":
            return Count(pool.model, room)
        if fits and bound is not None and reason == "named-model":
            return Decision(pool.model, bound, "bounded", reason)
        if fits or roomy:
            return Decision(pool.model, estimate, "estimated", reason)
        return Count(pool.model, room, int(0.9 * room))
    if ask.cut_to_window and counted.tokens > room:
        return Decision(pool.model, room, _method(counted), reason)
    if counted.tokens > room and not counted.estimated:
        return TooLong(pool.model, pool.window, counted.tokens, ask.output)
    return Decision(pool.model, counted.tokens, _method(counted), reason)


def _short_may_answer(ask: Ask, counted: Counted, limit: int, bound: int | None, short: PoolFacts) -> bool:
    """An estimate alone sends a prompt to the short model only if it also fits by the bound (where there is one)."""
    if counted.unsplittable or counted.tokens > limit:
        return False
    if counted.estimated:
        return bound is None or bound + ask.output <= short.window
    return counted.complete


def _bound(ask: Ask, pool: PoolFacts) -> int | None:
    """Most tokens the prompt can have, or None if nothing is known."""
    if pool.expansion is None:
        return ask.cap
    bound = pool.expansion * ask.text_bytes + pool.overhead
    return bound if ask.cap is None or bound < ask.cap else ask.cap


def _estimate(ask: Ask, pool: PoolFacts) -> int:
    estimate = int((ask.likely_bytes or ask.text_bytes) / pool.bytes_per_token) + 1
    return estimate if ask.cap is None or estimate < ask.cap else ask.cap


def _method(counted: Counted) -> Method:
    if counted.unsplittable:
        return "unsplittable"
    return "estimated" if counted.estimated else "counted"
