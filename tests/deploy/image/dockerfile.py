"""A Dockerfile, read with BuildKit's grammar. What we can't carry out is refused, never skipped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from e2b_dockerfile_utils import DockerfileInstruction, ShellLex, parse_dockerfile_ast

_SCRATCH = "scratch"
_STAGE = re.compile(r"[a-z][a-z0-9-_.]*")
# By instruction: the flags that are understood.
_UNDERSTOOD: Mapping[str, tuple[str, ...]] = {
    "RUN": (),
    "COPY": ("from",),
    "ENV": (),
    "WORKDIR": (),
    "USER": (),
    "LABEL": (),
    "EXPOSE": (),
    "ENTRYPOINT": (),
    "CMD": (),
}


class NotUnderstood(Exception):
    """Names the line, and what of it we can't carry out."""


@dataclass(frozen=True, slots=True)
class Copy:
    """``stage``: whose files; None for those of the build's context."""

    sources: tuple[str, ...]
    target: str
    stage: str | None


@dataclass(frozen=True, slots=True)
class Stage:
    """``base``: an image or an earlier stage."""

    name: str
    base: str
    steps: tuple[DockerfileInstruction, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """What an image says besides its files. ``user`` is empty where none is named, which means root."""

    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()

    def after(self, step: DockerfileInstruction) -> Settings:
        """RUN and COPY change files only."""
        match step.name:
            case "ENV":
                return replace(self, environment={**self.environment, **self._values(step)})
            case "LABEL":
                return replace(self, labels={**self.labels, **self._values(step)})
            case "WORKDIR":
                return replace(self, folder=self.absolute(self._word(step.args[0])))
            case "USER":
                return replace(self, user=self._word(step.args[0]))
            case "EXPOSE":
                return replace(self, ports=(*self.ports, *step.args))
            case "ENTRYPOINT":
                return replace(self, entrypoint=tuple(step.args), command=())
            case "CMD":
                return replace(self, command=tuple(step.args))
            case _:
                return self

    def absolute(self, path: str) -> str:
        """A path as an instruction has it, which may be relative to the folder. Keeps the slash at its end."""
        return path if path.startswith("/") else f"{self.folder.rstrip('/')}/{path.removeprefix('./')}"

    def copy(self, step: DockerfileInstruction) -> Copy:
        """What a COPY says."""
        sources, target = step.args[:-1], self._word(step.args[-1])
        stages = [flag.removeprefix("--from=") for flag in step.flags]
        if not target.endswith("/") and (target in (".", "..") or len(sources) > 1):
            target = f"{target}/"
        return Copy(tuple(map(self._word, sources)), self.absolute(target), stages[0] if stages else None)

    def _values(self, step: DockerfileInstruction) -> dict[str, str]:
        """Of all pairs of one instruction, each of which sees what was set before the instruction."""
        return dict(zip(step.args[::3], map(self._word, step.args[1::3]), strict=True))

    def _word(self, text: str) -> str:
        return ShellLex("\\", env=self.environment, skip_unset_env=False).process_word(text)


def read(text: str, arguments: Mapping[str, str] | None = None) -> tuple[Stage, ...]:
    """Its stages. ``arguments``: as of --build-arg. Raises NotUnderstood, and ValueError for what is no Dockerfile."""
    ast = parse_dockerfile_ast(text)
    if ast.warnings or ast.escape_token != "\\":
        said = ast.warnings[0] if ast.warnings else "another escape character"
        raise NotUnderstood(f"the Dockerfile has {said}")
    known: dict[str, str] = {}
    stages: list[Stage] = []
    for step in ast.instructions:
        if step.name == "FROM":
            stages.append(_begun(step, known, stages))
        elif step.name == "ARG" and not stages:
            known |= _defaults(step, arguments or {})
        elif stages:
            _check(step, stages)
            stages[-1] = replace(stages[-1], steps=(*stages[-1].steps, step))
        else:
            raise NotUnderstood(f"line {step.start_line}: {step.name} before the first FROM")
    if not stages:
        raise NotUnderstood("the Dockerfile has no FROM")
    return tuple(stages)


def settings_of(stages: tuple[Stage, ...], name: str) -> Settings:
    """Of a stage's image, with what it inherits from earlier stages; of foreign images nothing is known."""
    settings = Settings()
    for stage in lineage(stages, name):
        for step in stage.steps:
            settings = settings.after(step)
    return settings


def lineage(stages: tuple[Stage, ...], name: str) -> list[Stage]:
    """The stage and those that it is made from by FROM, the first of them first."""
    by_name = {stage.name: stage for stage in stages}
    found = [by_name[name]]
    while (base := found[0].base) in by_name:
        found.insert(0, by_name[base])
    return found


def _begun(step: DockerfileInstruction, known: Mapping[str, str], stages: list[Stage]) -> Stage:
    match step.args:
        case [base, as_, name] if as_.upper() == "AS" and _STAGE.fullmatch(name) and not step.flags:
            base = ShellLex("\\", env=known, skip_unset_env=False).process_word(base)
        case _:
            raise NotUnderstood(f"line {step.start_line}: only `FROM image AS name` is understood: {step.original}")
    if not base or base == _SCRATCH or name in {stage.name for stage in stages}:
        raise NotUnderstood(f"line {step.start_line}: no image, an empty one, or a name that is taken: {step.original}")
    return Stage(name, base, ())


def _defaults(step: DockerfileInstruction, arguments: Mapping[str, str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in step.args]
    return {name: arguments.get(name, ShellLex("\\").process_word(value)) for name, _, value in pairs}


def _check(step: DockerfileInstruction, stages: list[Stage]) -> None:
    for problem in _problems(step, stages):
        raise NotUnderstood(f"line {step.start_line}: {problem}: {step.original}")


def _problems(step: DockerfileInstruction, stages: list[Stage]) -> Iterator[str]:
    if step.name not in _UNDERSTOOD:
        yield f"{step.name} is not understood"
        return
    if not step.args or step.heredocs:
        yield f"{step.name} without arguments, or with a here-document, is not understood"
    for flag in step.flags:
        if flag.removeprefix("--").partition("=")[0] not in _UNDERSTOOD[step.name]:
            yield f"{flag} is not understood"
    if step.json != (step.name in ("ENTRYPOINT", "CMD")):
        yield f"{step.name} in this form is not understood"
    if step.name == "COPY" and len(step.args) < 2:
        yield "COPY needs a source and a target"
    if step.name == "COPY" and any(re.search(r"[*?\[]", source) for source in step.args[:-1]):
        yield "patterns are not understood"
    named = [flag.removeprefix("--from=") for flag in step.flags if flag.startswith("--from=")]
    if step.name == "COPY" and not set(named) <= {stage.name for stage in stages[:-1]}:
        yield "there is no such stage before this one"
