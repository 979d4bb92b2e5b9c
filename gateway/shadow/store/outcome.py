"""What stored records say: outcomes of runs, and events for the gate. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.shadow.gate.draws import Control, Event, Kind, Outcome, Pair, Rerun, Served, StreamKey
from gateway.shadow.score.verdict import Says
from gateway.shadow.store.records import Role, Run, Sample, Score, Side, State

CUT = "length"
"""The finish reason of an answer that was cut at its limit of tokens."""
_SAYS = {says: Outcome(says.value) for says in Says}
_STATES = {
    State.CANCELLED: Outcome.CANCELLED,
    State.SHED: Outcome.SHED,
    State.ERROR: Outcome.ERROR,
    State.BEYOND_WINDOW: Outcome.BEYOND_WINDOW,
}


@dataclass(frozen=True, slots=True)
class Scored:
    """A run with its verdicts, the one that counts first. Its state is `waiting`, too, while a worker has it."""

    run: Run
    scores: tuple[Score, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """None while it is open."""
        if self.run.state.open:
            return None
        return _STATES.get(self.run.state) or (self._of(self.scores[0]) if self.scores else self._unscored)

    @property
    def again(self) -> tuple[Outcome, ...]:
        """What later verdicts on the same answer came to."""
        return tuple(self._of(score) for score in self.scores[1:])

    @property
    def environment(self) -> str | None:
        return self.scores[0].environment if self.scores else None

    def kind_within(self, sample: Sample) -> Kind:
        """Of this run alone, as evidence."""
        return Kind.MIRROR if self.run.role is Role.MIRROR else sample.kind

    @property
    def _unscored(self) -> Outcome:
        return Outcome.LENGTH if self.run.finish_reason == CUT else Outcome.ERROR

    def _of(self, score: Score) -> Outcome:
        return Outcome.LENGTH if self.run.finish_reason == CUT else _SAYS[score.says]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample with its runs, by side."""

    sample: Sample
    runs: tuple[Scored, ...]

    @property
    def open(self) -> bool:
        return any(scored.outcome is None for scored in self.runs)

    @property
    def pair(self) -> tuple[Scored, Scored] | None:
        """Both families' runs, first side first; None if only one was asked, and for a control."""
        if self.sample.control is not None or len(self.runs) != len(Side):
            return None
        first, second = sorted(self.runs, key=lambda scored: scored.run.side is not Side.FIRST)
        return first, second

    @property
    def between(self) -> tuple[Served, Served] | None:
        """The families, as they were served, that it compares or is a control of."""
        if self.sample.between is not None:
            return self.sample.between
        pair = self.pair
        return (pair[0].run.served, pair[1].run.served) if pair else None

    @property
    def environment(self) -> str | None:
        """That of its latest verdict: where scoring changed between a pair's two, the pair is of what came after."""
        latest = max(
            (scored.scores[0] for scored in self.runs if scored.scores), key=lambda score: score.at, default=None
        )
        return latest.environment if latest else None

    def events(self, environment: str) -> Iterator[Event]:
        """A pair or a control, then what was scored again of it; nothing if it compares nothing. It may not be open.

        `environment`: what scores at this time, for where nothing was scored here.
        """
        between = self.between
        if between is None or not self.runs:
            return
        sample = self.sample
        key = StreamKey(*between, suite=sample.suite, sandbox=self.environment or environment, form=sample.form)
        if sample.control is not None:
            yield Control(key, sample.control, _done(self.runs[0]))
        elif pair := self.pair:
            yield Pair(key, sample.prompt_tokens, _done(pair[0]), _done(pair[1]), sample.kind)
        for scored in self.runs:
            yield from (Rerun(key, _done(scored), again) for again in scored.again)


def _done(scored: Scored) -> Outcome:
    if scored.outcome is None:
        raise ValueError(f"run {scored.run.id} is still open")
    return scored.outcome
