"""What the Dockerfile says, without carrying it out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2b_dockerfile_utils import DockerfileInstruction

from tests.deploy.image.conftest import FOLDER, REPOSITORY
from tests.deploy.image.context import Context
from tests.deploy.image.dockerfile import NotUnderstood, Stage, lineage, read, settings_of

SHIPPED = ("gateway", "scorer")
SECRETS = re.compile(r"(?i)pass(word|wd)?\b|secret|token|credential|api.?key|private.?key|\bsk-|BEGIN [A-Z ]*KEY")
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z0-9,._-]+\])?==([^ ;\\]+)", re.MULTILINE)


def steps(stages: tuple[Stage, ...], *names: str) -> Iterator[DockerfileInstruction]:
    return (step for stage in stages for step in stage.steps if step.name in names)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_runs_as_a_user_by_number_who_is_not_root(stages: tuple[Stage, ...], name: str) -> None:
    user, _, group = settings_of(stages, name).user.partition(":")
    assert user.isdigit()  # Kubernetes can't tell whether a name is root's
    assert group.isdigit()
    assert 0 not in (int(user), int(group))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_command_is_process_1_and_no_shell_stands_between(stages: tuple[Stage, ...], name: str) -> None:
    settings = settings_of(stages, name)
    assert settings.entrypoint == ("yardstick",)
    assert settings.command
    assert not list(steps(stages, "SHELL", "HEALTHCHECK"))


def test_the_gateway_is_what_is_built_unless_another_target_is_named(stages: tuple[Stage, ...]) -> None:
    assert stages[-1].name == "gateway"
    assert settings_of(stages, "gateway").command[0] == "serve"


@pytest.mark.parametrize("name", SHIPPED)
def test_no_stage_that_installs_packages_of_python_ships(stages: tuple[Stage, ...], name: str) -> None:
    shipped = lineage(stages, name)
    commands = [step.args[0] for stage in shipped for step in stage.steps if step.name == "RUN"]
    assert commands
    assert not [command for command in commands if re.search(r"\bpip\b|python3-venv|\bgcc\b|build-essential", command)]


def test_bases_have_a_tag_and_not_the_latest(stages: tuple[Stage, ...]) -> None:
    named = {stage.name for stage in stages}
    foreign = {stage.base for stage in stages if stage.base not in named}
    assert foreign
    for image in foreign:
        _, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
        assert tag not in ("", "latest"), image


def test_another_base_can_be_given_by_digest() -> None:
    base = f"debian:bookworm-slim@sha256:{'0' * 64}"
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    assert {stage.base for stage in read(text, {"BASE": base})} == {base, "base"}


def test_nothing_comes_from_the_network_but_pinned_packages(stages: tuple[Stage, ...]) -> None:
    assert not list(steps(stages, "ADD"))
    for step in steps(stages, "RUN"):
        assert not re.search(r"https?://|\bcurl\b|\bwget\b|\bgit\b", step.args[0]), step.original
        for install in re.findall(r"\bpip\b[^&]*\binstall\b[^&]*", step.args[0]):
            assert "--require-hashes" in install or "--no-index" in install, install


def test_no_secret_is_in_a_layer_or_in_the_settings(stages: tuple[Stage, ...]) -> None:
    found = [step.original for step in steps(stages, "ENV", "LABEL", "RUN") if SECRETS.search(step.original)]
    arguments = re.findall(r"(?mi)^\s*ARG\s.*", (FOLDER / "Dockerfile").read_text(encoding="utf-8"))
    assert not found
    assert arguments == ["ARG BASE=debian:bookworm-slim"]


def test_every_file_that_is_copied_is_there(stages: tuple[Stage, ...], context: Context) -> None:
    sources = [source for step in steps(stages, "COPY") if not step.flags for source in step.args[:-1]]
    assert sources
    assert [source for source in sources if not context.files(source)] == []


def test_of_the_repository_only_what_is_named_is_seen(context: Context) -> None:
    seen = {path.as_posix() for path in context.files(".")}
    top = {path.split("/")[0] for path in seen}
    assert top == {"LICENSE", "README.md", "pyproject.toml", "gateway", "routing", "deploy"}
    assert {path for path in seen if path.startswith("deploy/")} == {
        "deploy/k8s/image/build.txt",
        "deploy/k8s/image/requirements.txt",
    }
    assert "gateway/shadow/environment/light.txt" in seen  # what is no Python ships, too
    assert not {path for path in seen if "__pycache__" in path or path.endswith(".pyc")}


def test_what_lies_about_in_a_checkout_is_not_seen(tmp_path: Path) -> None:
    for name in (
        ".git/config",
        ".venv/bin/python",
        "tests/conftest.py",
        ".env",
        "keys",
        "yardstick.yaml",
        "routing/a.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    context = Context(tmp_path, (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8"))
    assert context.files(".") == [Path("routing/a.py")]


def test_the_label_has_the_version_of_the_package(stages: tuple[Stage, ...]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = settings_of(stages, "gateway").labels
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert labels["org.opencontainers.image.description"] == project["description"]


@pytest.mark.parametrize("name", ["requirements.txt", "build.txt"])
def test_pins_are_those_that_everything_else_is_tested_with(name: str) -> None:
    ours, locked = (
        (FOLDER / name).read_text(encoding="utf-8"),
        (REPOSITORY / "requirements.lock").read_text(encoding="utf-8"),
    )
    pins, known = set(PIN.findall(ours)), set(PIN.findall(locked))
    assert pins
    assert pins <= known
    assert set(re.findall(r"--hash=\S+", ours)) <= set(re.findall(r"--hash=\S+", locked))


def test_the_image_has_all_that_the_package_asks_for_and_nothing_for_developers() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["postgres"], *extras["queue"]]
    pinned = {name for name, _ in PIN.findall((FOLDER / "requirements.txt").read_text(encoding="utf-8"))}
    assert {re.split(r"[\[<>=; ]", each)[0] for each in asked} <= pinned
    assert not {"pytest", "mypy", "ruff", "hatchling", "schemathesis", "vllm"} & pinned


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("no hadolint in this environment: make setup")
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", FOLDER / "Dockerfile"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FROM a AS b\nADD x /y\n", "line 2: ADD is not understood"),
        ("FROM a AS b\nHEALTHCHECK CMD true\n", "line 2: HEALTHCHECK is not understood"),
        ("FROM a AS b\nRUN --mount=type=cache,target=/x true\n", "line 2: --mount"),
        ("FROM a AS b\nRUN <<EOF\ntrue\nEOF\n", "line 2: RUN"),
        ('FROM a AS b\nRUN ["true"]\n', "line 2: RUN in this form"),
        ("FROM a AS b\nENTRYPOINT yardstick\n", "line 2: ENTRYPOINT in this form"),
        ("FROM a AS b\nCOPY --chown=1 x y\n", "line 2: --chown"),
        ("FROM a AS b\nCOPY *.txt /y/\n", "line 2: patterns"),
        ("FROM a AS b\nCOPY --from=c /x /y\n", "line 2: there is no such stage"),
        ("FROM a AS b\nCOPY --from=b /x /y\n", "line 2: there is no such stage"),
        ("FROM a\n", "line 1: only `FROM image AS name`"),
        ("FROM --platform=linux/arm64 a AS b\n", "line 1: only `FROM image AS name`"),
        ("FROM a AS b\nFROM a AS b\n", "line 2: no image, an empty one, or a name that is taken"),
        ("FROM ${NONE} AS b\n", "line 1: no image"),
        ("RUN true\n", "line 1: RUN before the first FROM"),
        ("ARG X=1\n", "no FROM"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(text: str, said: str) -> None:
    with pytest.raises(NotUnderstood, match=re.escape(said)):
        read(text)


def test_settings_follow_the_instructions() -> None:
    stages = read(
        "ARG TAG=1\nFROM a:${TAG} AS b\nENV X=1 Y='two words'\nWORKDIR /w\nFROM b AS c\nENV Z=$X-$Y X=3\nWORKDIR v\n"
        'COPY one two ./\nCOPY one .\nCOPY one other\nUSER 7\nENTRYPOINT ["e"]\nCMD ["c", "d"]\n'
    )
    settings = settings_of(stages, "c")
    assert stages[0].base == "a:1"
    assert settings.environment == {"X": "3", "Y": "two words", "Z": "1-two words"}
    assert (settings.folder, settings.user, settings.entrypoint, settings.command) == ("/w/v", "7", ("e",), ("c", "d"))
    copies = [settings.copy(step) for step in stages[1].steps if step.name == "COPY"]
    assert [copy.target for copy in copies] == ["/w/v/", "/w/v/", "/w/v/other"]
