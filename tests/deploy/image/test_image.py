"""The image, built step by step in a bare Debian root, and run as a `restricted` pod runs it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import signal
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from gateway.demo.tokenizer import cached_tokenizer
from gateway.keys import key_line, new_key
from gateway.shadow.sandbox.runner import landlock
from tests.deploy.image.build import Image, size
from tests.deploy.image.conftest import FOLDER, REPOSITORY
from tests.deploy.image.pod import USER, Pod, Ran, run, start
from tests.deploy.image.test_dockerfile import PIN
from tests.fakes.started import until

pytestmark = pytest.mark.image

PYTHON = "/opt/yardstick/bin/python"
MODEL = "codegeex4-all-9b"
SECONDS = 90  # for a start, on a machine that has other things to do
OTHER_USER = 1_000_770_000  # as OpenShift chooses them, in the root group
MOST_ADDED = 272 * 1024 * 1024  # bytes on top of the base; a tenth above what it was when this was written
SCORE = (
    "yardstick shadow samples --output /tmp/all && head -n 3 /tmp/all > /tmp/few"
    " && exec yardstick shadow score --samples /tmp/few --json"
)


@contextmanager
def running(image: Image, *arguments: str, files: dict[str, bytes] | None = None) -> Iterator[Pod]:
    pod = start(image, *arguments, files=files)
    try:
        yield pod
    finally:
        pod.close()


def address(pod: Pod, says: Callable[[Pod], str]) -> str:
    """Where it listens, once it says so."""
    pattern = re.compile(r"http://[^ :/]+:(\d+)")
    found = until(lambda: pattern.search(says(pod)) is not None or not pod.runs, SECONDS)
    match = pattern.search(says(pod))
    assert found, pod.err
    assert match is not None, pod.err
    return f"http://127.0.0.1:{match[1]}"


def configuration(engine: str, **settings: object) -> bytes:
    """As a pod has it: all addresses, keys from a file."""
    base: dict[str, object] = {"host": "0.0.0.0", "port": 0, "api_key_file": "keys", "drain": {"delay": 0, "grace": 60}}
    pools = [{"model": MODEL, "endpoints": [{"url": engine}]}]
    return yaml.safe_dump({**base, "pools": pools, **settings}).encode()


@pytest.fixture(scope="module")
def engine(gateway: Image) -> Iterator[str]:
    """A simulated model server, out of the same image."""
    files = {"tokenizer.json": cached_tokenizer().read_bytes()}  # to train one in the pod takes half a minute
    arguments = ("--model", MODEL, "--port", "0", "--tokenizer", "/etc/yardstick/tokenizer.json")
    with running(gateway, "engine", "simulate", *arguments, files=files) as pod:
        yield address(pod, lambda pod: pod.out + pod.err)


def test_it_says_its_version(gateway: Image) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    ran = run(gateway, "--version")
    assert (ran.code, ran.out) == (0, f"yardstick, version {version}\n")


def test_it_has_what_is_pinned_and_nothing_else(gateway: Image) -> None:
    folder = next(gateway.root.glob("opt/yardstick/lib/python3.11/site-packages"))
    installed = {
        each.name.lower().replace("_", "-"): each.version
        for each in importlib.metadata.distributions(path=[str(folder)])
    }
    del installed["yardstick"]
    pinned = dict(PIN.findall((FOLDER / "requirements.txt").read_text(encoding="utf-8")))
    assert installed.items() <= pinned.items()
    assert not {"pip", "setuptools", "wheel", "hatchling", "pytest"} & installed.keys()


def test_it_carries_no_compiler_no_package_manager_of_python_and_no_caches(gateway: Image) -> None:
    root = gateway.root
    names = ("gcc", "cc", "make", "pip", "pip3", "git", "curl", "wget", "uv")
    places = ("usr/bin", "usr/local/bin", "opt/yardstick/bin")
    assert [name for name in names for place in places if (root / place / name).exists()] == []
    caches = ("var/lib/apt/lists", "var/cache/apt/archives", "root/.cache", "tmp", "build")
    kept = [path for cache in caches for path in (root / cache).rglob("*") if path.is_file() and path.name != "lock"]
    assert kept == []


def test_nothing_runs_as_another_user_and_nothing_can_be_changed_by_this_one(gateway: Image) -> None:
    files = [path for path in gateway.root.rglob("*") if not path.is_symlink()]
    assert [path for path in files if path.is_file() and path.lstat().st_mode & 0o6000] == []
    owned = {f"/{path.relative_to(gateway.root)}" for path in files if path.lstat().st_uid == USER}
    assert owned == {"/var/lib/yardstick", "/var/cache/yardstick"}


def test_everything_is_compiled(gateway: Image) -> None:
    sources = list(gateway.root.glob("opt/yardstick/**/*.py"))
    missing = [path for path in sources if not (path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc").exists()]
    assert sources
    assert missing == []


def test_it_is_small(gateway: Image, bare_debian: Path) -> None:
    assert size(gateway.root, without=bare_debian) < MOST_ADDED


@pytest.mark.parametrize(("uid", "gid"), [(USER, USER), (OTHER_USER, 0)])
def test_a_user_without_any_rights_can_start_it_and_write_only_to_its_volumes(
    gateway: Image, uid: int, gid: int
) -> None:
    tries = [
        "/etc/new",
        "/opt/yardstick/new",
        "/usr/new",
        "/var/lib/new",
        "/tmp/new",
        "/var/lib/yardstick/new",
        "/var/cache/yardstick/new",
    ]
    program = f"""
import json, os
def writes(path):
    try:
        open(path, "w").close()
    except OSError:
        return False
    return True
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({{
    "written": [path for path in {tries!r} if writes(path)],
    "ids": [os.getuid(), os.getgid(), os.getpid()],
    "rights": [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
    "no new privileges": status["NoNewPrivs"],
}}))"""
    ran = run(gateway, "-c", program, entrypoint=[PYTHON], uid=uid, gid=gid)
    assert json.loads(ran.out) == {
        "written": ["/tmp/new", "/var/lib/yardstick/new", "/var/cache/yardstick/new"],
        "ids": [uid, gid, 1],
        "rights": [0, 0, 0, 0],
        "no new privileges": "1",
    }, ran.err
    assert run(gateway, "keys", "new", "someone", uid=uid, gid=gid).code == 0


def test_a_configuration_is_checked_with_its_line(gateway: Image) -> None:
    files = {"yardstick.yaml": configuration("http://127.0.0.1:1"), "keys": key_line("team", new_key()).encode()}
    fine = run(gateway, "check", "--offline", "--config", "/etc/yardstick/yardstick.yaml", files=files)
    assert fine.code == 0, fine.out + fine.err
    wrong = run(
        gateway,
        *("check", "--offline", "--config", "/etc/yardstick/yardstick.yaml"),
        files=files | {"yardstick.yaml": configuration("http://127.0.0.1:1", prot=1)},
    )
    assert wrong.code == 1
    assert "prot" in wrong.out


def test_it_serves_with_its_own_command_and_drains_when_it_is_told_to_end(gateway: Image, engine: str) -> None:
    key = new_key()
    files = {"yardstick.yaml": configuration(engine), "keys": key_line("team", key).encode()}
    with running(gateway, files=files) as pod:  # the image's CMD
        at = address(pod, lambda pod: pod.err)
        with httpx.Client(base_url=at, headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS) as client:
            assert until(lambda: _status(client, "/health/ready") == 200, SECONDS), pod.err
            assert client.get("/health/live").status_code == 200
            assert httpx.post(f"{at}/v1/chat/completions", json=_chat()).status_code == 401
            answer = client.post("/v1/chat/completions", json=_chat())
            assert (answer.status_code, answer.headers["x-yardstick-model"]) == (200, MODEL), answer.text
            assert answer.json()["choices"][0]["message"]["content"]
            with client.stream("POST", "/v1/chat/completions", json=_chat(stream=True)) as stream:
                lines = stream.iter_lines()
                first = next(line for line in lines if line.startswith("data: "))
                pod.send(signal.SIGTERM)  # with the answer under way
                rest = [line for line in lines if line.startswith("data: ")]
        assert json.loads(first.removeprefix("data: "))["object"] == "chat.completion.chunk"
        assert rest[-1] == "data: [DONE]"
        assert pod.ended(SECONDS) == 0
        assert key not in pod.out + pod.err


def test_workers_share_a_port(gateway: Image, engine: str) -> None:
    files = {"yardstick.yaml": configuration(engine, workers=2), "keys": key_line("team", new_key()).encode()}
    with running(gateway, files=files) as pod:
        at = address(pod, lambda pod: pod.err)
        with httpx.Client(base_url=at) as client:
            assert until(lambda: _status(client, "/health/ready") == 200, SECONDS), pod.err
        pod.send(signal.SIGTERM)
        assert pod.ended(SECONDS) == 0


@pytest.fixture
def walls() -> None:
    if landlock.abi() <= 0:
        pytest.skip("this kernel has no Landlock, and in a pod nothing else holds")


@pytest.mark.usefixtures("walls")
def test_it_scores_at_the_level_that_a_default_pod_allows_once_that_withstood_the_attacks(gateway: Image) -> None:
    ran = run(gateway, "-c", SCORE, entrypoint=["/bin/sh"], seconds=300)
    assert _verdicts(ran) == [("pass", "landlock")] * 3, ran.out + ran.err


@pytest.mark.scorer_image
@pytest.mark.usefixtures("walls")
def test_the_scorer_has_the_libraries_and_scores_with_them(scorer: Image) -> None:
    ran = run(scorer, "-c", f"{SCORE} --environment /opt/scoring", entrypoint=["/bin/sh"], seconds=600)
    assert _verdicts(ran) == [("pass", "landlock")] * 3, ran.out + ran.err
    imported = run(
        scorer, "-I", "-c", "import numpy, pandas, sklearn, matplotlib", entrypoint=["/opt/scoring/bin/python"]
    )
    assert imported.code == 0, imported.err


def _verdicts(ran: Ran) -> list[tuple[str, str]]:
    """With the walls that stood around each."""
    found = [json.loads(line) for line in ran.out.splitlines() if line.startswith("{")]
    return [(each["verdict"], each["level"].partition("/")[0]) for each in found]


def _chat(**more: object) -> dict[str, object]:
    return {
        "model": "auto",
        "messages": [{"role": "user", "content": "Reverse a list in Python."}],
        "max_tokens": 400,
        **more,
    }


def _status(client: httpx.Client, path: str) -> int | None:
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return None
