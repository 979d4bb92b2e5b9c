"""Is this live prompt a known task?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gateway.shadow.match.alike import groups_of, pairs_alike
from gateway.shadow.match.normalise import normalise
from gateway.shadow.match.prompt import LONGEST, Prompt
from gateway.shadow.match.signature import Signature, signature_of, signatures
from gateway.shadow.match.tfidf import Vector, Weights, grams, similarity
from gateway.shadow.suites.task import Task

# The lowest (in steps of .05) at which 99.7 % of matches were right; tests/gateway/shadow/match/result.md has how.
THRESHOLD = 0.7


class Kind(StrEnum):
    EXACT = "live-exact"
    NEAR = "live-near"


class Form(StrEnum):
    """Which of the task's prompts it is; `chat`: either of them, after other turns."""

    COMPLETE = "complete"
    INSTRUCT = "instruct"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class Match:
    """`score`: the cosine, 1 if the text is the task's. `alike`: tasks nearly the same, any of which it could be."""

    task_id: str
    kind: Kind
    form: Form
    score: float
    alike: tuple[str, ...] = ()


class _Document(NamedTuple):
    task: Task
    form: Form
    text: str


class Matcher:
    """An index of the prompts of tasks. Read-only once made, so threads may share it.

    A task whose prompts are longer than LONGEST is not in it; of tasks with one and the same prompt it finds the first.
    """

    def __init__(self, tasks: Iterable[Task], *, threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._documents = [document for task in tasks for document in _documents(task)]
        self._exact = {document.text: document for document in reversed(self._documents)}
        counted = [grams(document.text) for document in self._documents]
        self._weights = Weights(counted)
        self._vectors = [self._weights.document(counts, threshold) for counts in counted]
        self._signed = defaultdict[Signature, list[int]](list)
        for place, document in enumerate(self._documents):
            if signature := signature_of(document.task.code_prompt, document.task.entry_point):
                self._signed[signature].append(place)
        self._names = frozenset(signature.name for signature in self._signed)
        self._groups = self._grouped()
        self._alike = {task_id: group for group in self._groups for task_id in group}

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Ids of tasks one of whose prompts is as near to the other's as a match has to be, or that such pairs link."""
        return self._groups

    def match(self, prompt: Prompt) -> Match | None:
        """Never raises. `live-exact`: the text is the task's after `normalise`, and nothing else was in the request.

        `live-near`: it has the task's signature, yet to be written, and a cosine of at least the threshold; or the text
        is the task's, but a system message, tools or earlier turns came with it. Of several the most alike.
        """
        if len(prompt.text) > LONGEST:
            return None
        text = normalise(prompt.text)
        if document := self._exact.get(text):
            return self._match(document, Kind.EXACT if prompt.alone else Kind.NEAR, 1.0, prompt)
        places = {place for signature in signatures(text, self._names) for place in self._signed.get(signature, ())}
        if not places:
            return None
        query = self._weights.vector(grams(text))
        vectors = ((place, self._vectors[place]) for place in places)
        scored = ((similarity(query, vector), -place) for place, vector in vectors if vector.may_reach(query))
        score, place = max(scored, default=(0.0, 0))
        return self._match(self._documents[-place], Kind.NEAR, score, prompt) if score >= self._threshold else None

    def _match(self, document: _Document, kind: Kind, score: float, prompt: Prompt) -> Match:
        task_id = document.task.task_id
        alike = tuple(other for other in self._alike.get(task_id, ()) if other != task_id)
        return Match(task_id, kind, Form.CHAT if prompt.turns else document.form, score, alike)

    def _grouped(self) -> tuple[tuple[str, ...], ...]:
        pairs = list[tuple[str, str]]()
        for form in (Form.COMPLETE, Form.INSTRUCT):
            places = [place for place, document in enumerate(self._documents) if document.form is form]
            vectors: list[Vector] = [self._vectors[place] for place in places]
            ids = [self._documents[place].task.task_id for place in places]
            pairs += [(ids[one], ids[other]) for one, other in pairs_alike(vectors, self._threshold)]
        return groups_of(pairs)


def _documents(task: Task) -> list[_Document]:
    prompts = ((Form.COMPLETE, task.complete_prompt), (Form.INSTRUCT, task.instruct_prompt))
    texts = ((form, normalise(prompt)) for form, prompt in prompts if len(prompt) <= LONGEST)
    return [_Document(task, form, text) for form, text in texts if text]
