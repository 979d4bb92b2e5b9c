"""The stored pairs that a policy asks about, for the gate."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.shadow.gate.draws import Event
from gateway.shadow.gate.policy import Policy
from gateway.shadow.report.report import suite_name
from gateway.shadow.store import Evidence, Wanted


class Unclear(Exception):
    """Which pairs are meant can't be told: there are several kinds, or only ones that the policy names in reverse."""


class StoredPairs:
    """What is stored of the policy's two models. `behind`: samples that wait for the outcome of an earlier one."""

    def __init__(self, evidence: Evidence, policy: Policy) -> None:
        self._evidence, self._models = evidence, (policy.first.model, policy.second.model)
        self._compared = set[tuple[str, str]]()
        self.behind = 0
        waits = False
        for drawn in evidence.samples(Wanted(models=self._models)):
            waits = waits or drawn.open
            self.behind += waits
            sample = drawn.sample
            if sample.control is None and sample.kind is policy.evidence:
                self._compared.add((sample.suite, sample.form))
        if not self._compared and any(evidence.samples(Wanted(models=self._models[::-1]))):
            first, second = self._models
            raise Unclear(f"the store has pairs of {second} and {first}, in this order: swap the policy's sides")

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Suites, by their names, and forms that there are pairs of: each is a question of its own to the gate."""
        return sorted({(suite_name(suite), form) for suite, form in self._compared})

    def events(self, suite: str | None, form: str | None) -> Iterator[Event]:
        """Those of one suite and form. A suite's versions may all come: another digest is another stream.

        Raises `Unclear` if there are several that it may be.
        """
        suites = {name for name, _ in self._compared if suite in (None, name, suite_name(name))}
        names = {suite_name(name) for name in suites}
        forms = {its_form for name, its_form in self._compared if name in suites and form in (None, its_form)}
        if len(names) > 1:
            raise Unclear(f"there are pairs of several suites: name one with --suite ({', '.join(sorted(names))})")
        if len(forms) > 1:
            raise Unclear(f"there are pairs of several forms: name one with --form ({', '.join(sorted(forms))})")
        if not forms:
            return iter(())
        events = self._evidence.events(Wanted(models=self._models, form=forms.pop()))
        return (event for event in events if event.key.suite in suites)
