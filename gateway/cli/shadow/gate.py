"""`yardstick shadow gate`: a policy's decision on what is stored, as an exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from gateway.cli.shadow.answering import AnsweringCommand, no_answer
from gateway.cli.shadow.gate_table import shown
from gateway.cli.shadow.stores import opened, store_option
from gateway.shadow.gate.decide import decide
from gateway.shadow.gate.policy import Policy
from gateway.shadow.report.decision import decision_document
from gateway.shadow.report.gate_answers import read_policy
from gateway.shadow.report.stored_pairs import StoredPairs, Unclear
from gateway.shadow.store import StoreUnavailable


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
            stored = StoredPairs(store.evidence, policy)
            decision = decide(stored.events(suite, form), policy)
    except (StoreUnavailable, Unclear) as error:
        no_answer(str(error))
    if as_json:
        document = decision_document(decision, policy) | {"samples_behind_an_open_run": stored.behind}
        click.echo(json.dumps(document, indent=2))
    else:
        shown(decision, policy, stored.behind)
    sys.stdout.flush()  # a reader that went away is noticed here, not after the answer
    return decision.exit_code


def _policy(path: Path) -> Policy:
    try:
        return read_policy(str(path))
    except ValueError as error:
        no_answer(f"--policy {error}")
