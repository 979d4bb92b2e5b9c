"""What may happen to a task's prompt on its way into a request, by rule, and what should then be found."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from tests.gateway.shadow.match import edited, wrapped
from tests.gateway.shadow.match.sent import Body, Sent, chat


class Expected(StrEnum):
    EXACT = "live-exact"
    NEAR = "live-near"  # the same task in other words, or with something around it
    NOT_EXACT = "not live-exact"  # another requirement: the tests may be wrong, so if anything it is near
    NONE = "none"


Perturb = Callable[[Sent], Body | str | None]

PERTURBATIONS: dict[str, tuple[Expected, Perturb]] = {
    "as it is, completion": (Expected.EXACT, wrapped.completion),
    "as it is, chat": (Expected.EXACT, lambda sent: sent.text),
    "official preamble and fence": (Expected.EXACT, wrapped.official),
    "the same within a chat template": (Expected.EXACT, wrapped.official_template),
    "other known preambles, system message": (Expected.EXACT, wrapped.known_preamble),
    "CRLF, blanks at line ends, indented": (Expected.EXACT, wrapped.white_space),
    "unknown preamble": (Expected.NEAR, wrapped.unknown_preamble),
    "1,000 characters of instructions": (Expected.NEAR, wrapped.long_preamble),
    "after other turns": (Expected.NEAR, wrapped.after_turns),
    "unknown system message": (Expected.NEAR, wrapped.unknown_system),
    "paraphrased": (Expected.NEAR, edited.paraphrased),
    "reflowed": (Expected.NEAR, edited.reflowed),
    "header restyled": (Expected.NEAR, edited.header_restyled),
    "truncated": (Expected.NEAR, edited.truncated),
    "number edited": (Expected.NOT_EXACT, edited.number_edited),
    "name edited": (Expected.NOT_EXACT, edited.name_edited),
    "word edited": (Expected.NOT_EXACT, edited.word_edited),
    "sentence added": (Expected.NOT_EXACT, edited.sentence_added),
    "requirement before the prompt": (Expected.NOT_EXACT, edited.said_before),
    "requirement in an earlier turn": (Expected.NOT_EXACT, edited.said_in_turns),
    "function renamed": (Expected.NONE, edited.renamed),
    "function renamed, examples too": (Expected.NONE, edited.renamed_everywhere),
    "parameter added": (Expected.NONE, edited.parameter_added),
    "question about the solved task": (Expected.NONE, edited.solved),
    "something else asked of the prompt": (Expected.NONE, edited.other_ask),
}


def body_of(made: Body | str) -> Body:
    return chat(("user", made)) if isinstance(made, str) else made
