"""Which tokens of which sequences an engine computes in its next step, by the rules of vLLM.

Pure and deterministic: no clock, no event loop, no randomness. The rules are those of vLLM 0.32's ``Scheduler``
(``v1/core/sched/scheduler.py``, ``kv_cache_manager.py``) without asynchronous scheduling, speculative decoding,
encoders, LoRA, connectors and data parallelism, for one group of layers that attend to everything:

- A step has one budget of tokens. Running sequences come first, in the order in which they were admitted, then waiting
  ones. Each gets what it still lacks of its tokens (all of a prompt, or the one that was generated last), cut to the
  budget: so prompts are computed in chunks, beside sequences that decode.
- ``long_prefill_token_threshold`` cuts what one sequence gets while there is another one, running or waiting.
- A running sequence that finds no free block has others preempted, the last admitted first (with priorities: the least
  urgent, the latest arrived), itself at last. Who is preempted loses its blocks and waits again at the front, to be
  recomputed, generated tokens included. In a step with a preemption nobody is admitted.
- A waiting sequence is admitted if all of its tokens fit into free blocks (``scheduler_reserve_full_isl``), with
  ``watermark`` to spare when others run, and if fewer than ``max_num_seqs`` run. The first that does not fit ends the
  step: nobody overtakes it.
- On admission the longest known prefix is taken from the cache: whole blocks, at most all tokens but the last. Blocks
  can be found from the step that computes them on, even within it.

vLLM calls "request" what is called a sequence, or an entry, here.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Literal

from gateway.engines.simulated.kv import BLOCK_TOKENS, BlockPool, Prompt, blocks_for

Policy = Literal["fcfs", "priority"]


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """vLLM's flags of these names. ``num_blocks`` counts the placeholder, as vLLM's ``num_gpu_blocks`` does."""

    num_blocks: int
    max_model_len: int
    max_num_batched_tokens: int = 8192
    max_num_seqs: int = 1024
    long_prefill_token_threshold: int = 0
    policy: Policy = "fcfs"
    prefix_caching: bool = True
    reserve_full_prompt: bool = True
    watermark: float = 0.0


class Entry:
    """One sequence in the scheduler. ``computed`` tokens of ``total`` are in its blocks; ``name`` breaks ties."""

    __slots__ = (
        "_tail",
        "arrived",
        "blocks",
        "computed",
        "findable",
        "hashes",
        "name",
        "place",
        "preemptions",
        "priority",
        "prompt",
        "running",
        "total",
    )

    def __init__(self, name: str, prompt: Prompt, *, priority: int = 0, arrived: float = 0.0) -> None:
        self.name = name
        self.prompt = prompt
        self.priority = priority
        self.arrived = arrived
        self.total = len(prompt)
        self.computed = 0
        self.preemptions = 0
        self.running = False
        self.place = 0  # among waiting ones, first come first served; preempted ones come before all
        self.blocks: list[int] = []
        self.findable = 0  # how many of its blocks can be found by others
        self.hashes = list(prompt.hashes)
        self._tail = list(prompt.ids[len(self.hashes) * BLOCK_TOKENS :])

    def append(self, token: int) -> None:
        """A token was generated: the next one to compute."""
        self.total += 1
        self._tail.append(token)
        if len(self._tail) == BLOCK_TOKENS:
            self.hashes.append(self.prompt.hash_after(self.hashes, self._tail))
            self._tail.clear()


@dataclass(frozen=True, slots=True)
class Share:
    """One sequence's part in a step: ``tokens`` to compute after ``context`` that are there already."""

    entry: Entry
    tokens: int
    context: int


@dataclass(slots=True)
class StepPlan:
    """``hits``: by name, the tokens that each sequence admitted in this step found in the cache."""

    shares: list[Share] = field(default_factory=list)
    preempted: list[Entry] = field(default_factory=list)
    hits: dict[str, int] = field(default_factory=dict)

    @property
    def tokens(self) -> dict[str, int]:
        """By name, in the order of scheduling."""
        return {share.entry.name: share.tokens for share in self.shares}


class Scheduler:
    """Sequences come by :meth:`add` and leave by :meth:`finish`, whether at their end or before it.

    After each step, :meth:`generated` is called for every sequence in it whose tokens are all computed.
    """

    def __init__(self, settings: SchedulerSettings) -> None:
        self.settings = settings
        self.pool = BlockPool(settings.num_blocks, caching=settings.prefix_caching)
        self.running: list[Entry] = []
        self.waiting: list[Entry] = []
        self._watermark = int(settings.watermark * settings.num_blocks)
        self._urgency = _by_priority if settings.policy == "priority" else _by_place
        self._last_place = 0
        self._first_place = 0

    def add(self, entry: Entry) -> None:
        self._last_place += 1
        entry.place = self._last_place
        insort(self.waiting, entry, key=self._urgency)

    def generated(self, entry: Entry, token: int) -> None:
        """The step that computed all of its tokens gave it the next one."""
        entry.append(token)

    def finish(self, entry: Entry) -> None:
        """It ended or was aborted: its place and its blocks are free at once."""
        (self.running if entry.running else self.waiting).remove(entry)
        self._release(entry)

    def schedule(self) -> StepPlan:
        """The next step, whose tokens count as computed from now on. Without shares if there is nothing to do."""
        step = _Step(self.settings.max_num_batched_tokens, self._threshold())
        self._schedule_running(step)
        if not step.plan.preempted:
            self._schedule_waiting(step)
        for share in step.plan.shares:
            share.entry.computed += share.tokens
        return step.plan

    def _threshold(self) -> int:
        """The most tokens that one sequence may get. One that is alone keeps nobody waiting, and may get all."""
        threshold = self.settings.long_prefill_token_threshold
        alone = len(self.running) + len(self.waiting) <= 1
        return self.settings.max_num_batched_tokens if alone or not threshold else threshold

    def _schedule_running(self, step: _Step) -> None:
        index = 0
        while index < len(self.running) and step.budget > 0:
            entry = self.running[index]
            room = self.settings.max_model_len - entry.computed - 1
            tokens = min(entry.total - entry.computed, step.threshold, step.budget, room)
            if tokens > 0:
                while not self._grow(entry, entry.computed + tokens):
                    place = self._preempt(step)
                    if not entry.running:
                        return
                    index -= place < index
                step.give(entry, tokens)
            index += 1

    def _grow(self, entry: Entry, tokens: int) -> bool:
        """Whether its blocks could be made to hold that many."""
        needed = max(0, blocks_for(min(tokens, self.settings.max_model_len)) - len(entry.blocks))
        if needed > self.pool.free:
            return False
        entry.blocks += self.pool.take(needed)
        self._make_findable(entry, tokens)
        return True

    def _preempt(self, step: _Step) -> int:
        """Send the least urgent running sequence back to wait. Returns the place that it had."""
        place = len(self.running) - 1
        if self.settings.policy == "priority":
            place = max(range(len(self.running)), key=lambda at: _importance(self.running[at]))
        entry = self.running.pop(place)
        step.take_back(entry)
        self._release(entry)
        entry.running = False
        entry.preemptions += 1
        self._first_place -= 1
        entry.place = self._first_place
        insort(self.waiting, entry, key=self._urgency)
        step.plan.preempted.append(entry)
        return place

    def _schedule_waiting(self, step: _Step) -> None:
        while self.waiting and step.budget > 0 and len(self.running) < self.settings.max_num_seqs:
            entry = self.waiting[0]
            hit = self.pool.longest_hit(entry.hashes, entry.total - 1)
            computed = len(hit) * BLOCK_TOKENS
            tokens = min(entry.total - computed, step.threshold, step.budget)
            if not self._admit(entry, hit, computed + tokens):
                return
            del self.waiting[0]
            entry.running = True
            entry.computed = computed
            self.running.append(entry)
            step.plan.hits[entry.name] = computed
            step.give(entry, tokens)

    def _admit(self, entry: Entry, hit: list[int], tokens: int) -> bool:
        """Whether it could be given blocks for its first ``tokens``, those of ``hit`` included."""
        reserved = entry.total if self.settings.reserve_full_prompt else tokens
        new = blocks_for(min(reserved, self.settings.max_model_len)) - len(hit)
        spare = self._watermark if self.running else 0
        if new + self.pool.idle(hit) + spare > self.pool.free:
            return False
        self.pool.hold(hit)
        entry.blocks = hit + self.pool.take(blocks_for(min(tokens, self.settings.max_model_len)) - len(hit))
        entry.findable = len(hit)
        self._make_findable(entry, tokens)
        return True

    def _make_findable(self, entry: Entry, tokens: int) -> None:
        full = min(tokens, entry.total) // BLOCK_TOKENS
        for number in range(entry.findable, full):
            self.pool.remember(entry.blocks[number], entry.hashes[number])
        entry.findable = max(entry.findable, full)

    def _release(self, entry: Entry) -> None:
        """Its last block may be reused first, so that the beginnings of prompts can be found for longest."""
        self.pool.release(reversed(entry.blocks))
        entry.blocks = []
        entry.findable = entry.computed = 0


class _Step:
    """A step while it is being put together."""

    def __init__(self, budget: int, threshold: int) -> None:
        self.plan = StepPlan()
        self.budget = budget
        self.threshold = threshold

    def give(self, entry: Entry, tokens: int) -> None:
        self.plan.shares.append(Share(entry, tokens, entry.computed))
        self.budget -= tokens

    def take_back(self, entry: Entry) -> None:
        """What a sequence that is preempted was to get. Only with priorities can it have got something."""
        for share in self.plan.shares:
            if share.entry is entry:
                self.plan.shares.remove(share)
                self.budget += share.tokens
                return


def _by_place(entry: Entry) -> tuple[float, float, str]:
    return entry.place, 0.0, ""


def _by_priority(entry: Entry) -> tuple[float, float, str]:
    """Lower is more urgent."""
    return entry.priority, entry.arrived, entry.name


def _importance(entry: Entry) -> tuple[float, float]:
    return entry.priority, entry.arrived
