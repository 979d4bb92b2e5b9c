"""`yardstick shadow gate`: a policy's decision on what is stored, as an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.shadow.answering import AnsweringCommand, no_answer
from gateway.cli.shadow.gate_table import shown
from gateway.cli.shadow.stores import opened, store_option
from gateway.config_document import ConfigError
from gateway.shadow.gate.decide import decide
from gateway.shadow.gate.draws import Event
from gateway.shadow.gate.policy import Policy
from gateway.shadow.report.decision import decision_document
from gateway.shadow.report.report import suite_name
from gateway.shadow.store import Evidence, StoreUnavailable, Wanted


@click.command(
    cls=AnsweringCommand,
    epilog="\b\nExamples:\n  yardstick shadow gate --policy policy.yaml\n"
    "  yardstick shadow gate --policy policy.yaml --suite five --form complete --json\n"
    "The policy's settings are explained in gateway/shadow/gate/README.md.",
)
@click.option(
    "--policy",
    "policy_path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML: the two models, what one may be worse by, and the lengths.",
)
@store_option
@click.option("--suite", metavar="NAME", help="Of the pairs. Needed if the store has more than one (digests apart).")
@click.option("--form", metavar="NAME", help="Of their prompts: complete, instruct, chat. Needed if there are several.")
@click.option("--json", "as_json", is_flag=True, help="The decision as JSON.")
def gate(policy_path: Path, store_url: str | None, suite: str | None, form: str | None, as_json: bool) -> int:
    """Decide whether the policy's first model may have these prompt lengths.

    \b
    Ends with 0  it holds: nowhere worse by more than the policy allows
              1  it is violated
              2  undecided: not enough evidence yet, or none that can be trusted
              3  no answer: a wrong command line or policy, no store, or a bug

    It may be asked as often as you like: that makes no wrong answer likelier.
    """
    policy = _policy(policy_path)
    try:
        with opened(store_url) as store:
            stored = _Stored(store.evidence, policy)
            decision = decide(stored.events(suite, form), policy)
    except (StoreUnavailable, _Unclear) as error:
        no_answer(str(error))
    if as_json:
        document = decision_document(decision, policy) | {"samples_behind_an_open_run": stored.behind}
        click.echo(json.dumps(document, indent=2))
    else:
        shown(decision, policy, stored.behind)
    sys.stdout.flush()  # a reader that went away is noticed here, not after the answer
    return decision.exit_code


class _Unclear(Exception):
    """Which pairs are meant can't be told: there are several kinds, or only ones that the policy names in reverse."""


class _Stored:
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
            raise _Unclear(f"the store has pairs of {second} and {first}, in this order: swap the policy's sides")

    def events(self, suite: str | None, form: str | None) -> Iterator[Event]:
        """Those of one suite and form. A suite's versions may all come: another digest is another stream."""
        suites = {name for name, _ in self._compared if suite in (None, name, suite_name(name))}
        names = {suite_name(name) for name in suites}
        forms = {its_form for name, its_form in self._compared if name in suites and form in (None, its_form)}
        if len(names) > 1:
            raise _Unclear(f"there are pairs of several suites: name one with --suite ({', '.join(sorted(names))})")
        if len(forms) > 1:
            raise _Unclear(f"there are pairs of several forms: name one with --form ({', '.join(sorted(forms))})")
        if not forms:
            return iter(())
        events = self._evidence.events(Wanted(models=self._models, form=forms.pop()))
        return (event for event in events if event.key.suite in suites)


def _policy(path: Path) -> Policy:
    try:
        return Policy.from_yaml(path.read_text(encoding="utf-8"), str(path))
    except ConfigError as error:
        no_answer(str(error))
    except (OSError, UnicodeDecodeError) as error:
        no_answer(f"--policy {path} can't be read: {getattr(error, 'strerror', None) or error}")
