"""The `vllm serve` line, and `yardstick engine vllm --dry-run`, without vLLM."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr, ValidationError

from gateway.cli import main
from gateway.cli.options import endpoint_flag
from gateway.config_engine import EngineSettings
from gateway.engines.vllm.command import API_KEY, Launch, LaunchError, groups, launch, shell_line
from gateway.families import MODELS

SHORT, LONG, BASE = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct", "codegeex2-6b"
FOLDER = Path("/etc/yardstick")
CONFIG = """\
pools:
  - model: codegeex4-all-9b
    window: 16384
    endpoints:
      - {url: "http://127.0.0.1:8101", api_key_env: ENGINE_TEST_KEY}
      - {url: "http://127.0.0.1:8102", api_key_env: ENGINE_TEST_KEY}
    engine: {gpus: [4, 5], max_num_seqs: 64, weights: ./weights, flags: ["--seed", "1"]}
  - model: iquest-coder-v1-40b-loop-instruct
    endpoints: [{url: "http://gpu-2:8200"}]
"""


def made(model: str, settings: EngineSettings | None = None, **how: Any) -> Launch:
    how = {"host": "127.0.0.1", "port": 8000, "folder": FOLDER} | how
    return launch(MODELS[model], settings or EngineSettings(), **how)


def value(arguments: tuple[str, ...] | list[str], flag: str) -> str | None:
    """What stands behind the flag, which must be there once; None if it is not there."""
    assert list(arguments).count(flag) <= 1, flag
    return arguments[list(arguments).index(flag) + 1] if flag in arguments else None


class TestLaunch:
    def test_the_same_is_asked_for_the_same_is_made(self) -> None:
        assert made(LONG) == made(LONG)

    def test_what_a_model_needs_comes_from_its_family(self) -> None:
        for name, model in MODELS.items():
            arguments = made(name).arguments
            assert arguments[:2] == ("serve", model.hub_id)
            assert value(arguments, "--served-model-name") == name
            assert value(arguments, "--max-model-len") == str(model.pool_window)
            assert value(arguments, "--tensor-parallel-size") == str(model.serving.tensor_parallel)
            assert value(arguments, "--tool-call-parser") == model.serving.tool_parser
            assert value(arguments, "--reasoning-parser") == model.serving.reasoning_parser
            assert ("--trust-remote-code" in arguments) is model.serving.trust_remote_code
            assert ("--no-disable-hybrid-kv-cache-manager" in arguments) is ("loop" in name)

    def test_the_files_it_names_are_the_ones_to_be_written(self) -> None:
        for name, model in MODELS.items():
            one = made(name)
            named = {value(one.arguments, flag) for flag in ("--chat-template", "--tool-parser-plugin")} - {None}
            assert named == {str(path) for path in one.files}
            assert all(path.parent == FOLDER for path in one.files)
            assert one.files.get(FOLDER / f"{name}.jinja") == model.chat_template

    def test_a_base_model_gets_no_template_and_no_tools(self) -> None:
        one = made(BASE)
        assert (one.files, "--enable-auto-tool-choice" in one.arguments) == ({}, False)

    def test_a_key_is_in_the_environment_only(self) -> None:
        one = made(SHORT, api_key=SecretStr("hidden"))
        assert one.environment[API_KEY] == "hidden"
        assert not any("hidden" in argument for argument in one.arguments)
        assert "hidden" not in shell_line(one, "vllm", {API_KEY: "OURS"})
        assert API_KEY not in made(SHORT).environment

    def test_gpus(self) -> None:
        one = made(LONG, gpus=(0, 1, 2, 6))
        assert (one.gpus, one.environment["CUDA_VISIBLE_DEVICES"]) == (4, "0,1,2,6")
        assert "CUDA_VISIBLE_DEVICES" not in made(LONG).environment

    def test_a_revision_is_that_of_code_and_tokenizer_too(self) -> None:
        arguments = made(SHORT, EngineSettings(revision="abc")).arguments
        flags = ("--revision", "--code-revision", "--tokenizer-revision")
        assert [value(arguments, flag) for flag in flags] == ["abc"] * 3

    def test_flags_of_ones_own_come_last(self) -> None:
        assert made(SHORT, EngineSettings(flags=("--seed", "7"))).arguments[-2:] == ("--seed", "7")

    def test_a_threshold_above_the_window_is_cut_to_it(self) -> None:
        """vLLM does not start otherwise."""
        assert value(made(SHORT, window=1024).arguments, "--long-prefill-token-threshold") == "1024"

    def test_a_tiny_server_differs_only_in_what_the_cpu_needs(self) -> None:
        real = made(LONG, EngineSettings(tensor_parallel_size=2), weights="/tiny")
        tiny = made(LONG, EngineSettings(tensor_parallel_size=2), weights="/tiny", tiny=True)
        assert tiny.arguments[:-3] == tuple(a for a in real.arguments if a != "--trust-remote-code")
        assert tiny.arguments[-3:-1] == ("--enforce-eager", "--kv-cache-memory-bytes")
        assert real.environment.items() <= tiny.environment.items()
        assert tiny.environment["VLLM_CPU_OMP_THREADS_BIND"] == "0|1"
        assert "VLLM_CPU_OMP_THREADS_BIND" not in made(SHORT, weights="/tiny", tiny=True).environment

    def test_a_tiny_server_takes_no_gpus_unless_told_how_many_processes(self) -> None:
        assert made(LONG, weights="/tiny", tiny=True).gpus == 1

    @pytest.mark.parametrize(
        ("how", "reason"),
        [
            ({"settings": EngineSettings(tensor_parallel_size=3)}, "cannot be spread over 3 GPUs.* 1, 2, 4, 8"),
            ({"gpus": (0, 1)}, "2 GPUs named for a server of 4"),
            ({"window": 131_073}, "made for 131,072 tokens"),
        ],
    )
    def test_what_cannot_be(self, how: dict[str, Any], reason: str) -> None:
        with pytest.raises(LaunchError, match=reason):
            made(LONG, **how)

    def test_groups(self) -> None:
        assert groups((), 4) == [()]
        assert groups((4, 5, 6, 7), 1) == [(4,), (5,), (6,), (7,)]
        assert groups((0, 1, 2, 3), 2) == [(0, 1), (2, 3)]
        with pytest.raises(LaunchError, match="3 GPUs cannot be divided into servers of 2"):
            groups((0, 1, 2), 2)

    def test_a_shell_reads_the_line_back(self) -> None:
        one = made(SHORT, EngineSettings(flags=("--override-generation-config", '{"top_k": 3}')))
        words = shlex.split(shell_line(one, "/a b/vllm", {}))
        assert tuple(words[len(one.environment) + 1 :]) == one.arguments
        assert words[: len(one.environment) + 1] == [*(f"{k}={v}" for k, v in one.environment.items()), "/a b/vllm"]


class TestSettings:
    @pytest.mark.parametrize(
        "flag", ["--api-key", "--api-key=x", "--api_key", "--port", "--served-model-name=x", "-tp", "--hf-token"]
    )
    def test_flags_that_would_undo_what_else_is_said(self, flag: str) -> None:
        with pytest.raises(ValidationError, match="instead of"):
            EngineSettings(flags=(flag, "x"))

    @pytest.mark.parametrize("flag", ["--api-ke", "--hf_tok=x", "--mod"])
    def test_abbreviations_of_these(self, flag: str) -> None:
        with pytest.raises(ValidationError, match="in full"):
            EngineSettings(flags=(flag, "x"))

    def test_a_gpu_is_listed_once(self) -> None:
        with pytest.raises(ValidationError, match="GPU 2 is listed twice"):
            EngineSettings(gpus=(1, 2, 2))


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`yardstick engine vllm` with these options, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ENGINE_TEST_KEY", raising=False)
    (tmp_path / "yardstick.yaml").write_text(CONFIG)
    return lambda *options: CliRunner().invoke(main, ["engine", "vllm", *options])


def servers(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["servers"]
    return found


class TestDryRun:
    def test_one_server_for_each_group_of_gpus(self, run: Run) -> None:
        result = run("--model", SHORT, "--gpus", "4-6,0", "--port", "8001", "--dry-run")
        lines = result.stdout.splitlines()
        assert [value(shlex.split(line), "--port") for line in lines] == ["8001", "8002", "8003", "8004"]
        assert ["CUDA_VISIBLE_DEVICES=6" in line.split() for line in lines] == [False, False, True, False]
        assert f"{SHORT}.jinja" in result.stderr

    def test_the_pool_says_how(self, run: Run, tmp_path: Path) -> None:
        first, second = servers(run("--model", SHORT, "--config", "yardstick.yaml", "--dry-run", "--json"))
        assert (first["port"], second["port"]) == (8101, 8102)
        assert first["environment"]["CUDA_VISIBLE_DEVICES"] == "4"
        assert first["arguments"][1] == str(tmp_path / "weights")
        assert value(first["arguments"], "--max-model-len") == "16384"
        assert value(first["arguments"], "--max-num-seqs") == "64"
        assert first["arguments"][-2:] == ["--seed", "1"]
        assert first["secrets"] == {API_KEY: "ENGINE_TEST_KEY"}
        assert API_KEY not in first["environment"]

    def test_servers_that_the_pool_does_not_list_are_remarked(self, run: Run) -> None:
        listed = run("--model", SHORT, "--config", "yardstick.yaml", "--dry-run")
        more = run("--model", SHORT, "--config", "yardstick.yaml", "--gpus", "0-3", "--dry-run")
        assert "no endpoint" not in listed.stderr
        assert f"no endpoint of {SHORT} in the configuration has ports 8103, 8104" in more.stderr

    def test_options_override_the_pool(self, run: Run) -> None:
        options = ("--gpus", "0,1", "--tensor-parallel", "2", "--window", "4096", "--port", "9000", "--weights", "a/b")
        found = servers(run("--model", SHORT, "--config", "yardstick.yaml", *options, "--dry-run", "--json"))
        assert [(one["port"], one["gpus"], one["arguments"][1]) for one in found] == [(9000, 2, "a/b")]
        assert value(found[0]["arguments"], "--max-model-len") == "4096"

    def test_a_pool_without_an_engine_has_its_defaults(self, run: Run) -> None:
        found = servers(run("--model", LONG, "--config", "yardstick.yaml", "--dry-run", "--json"))
        assert [(one["port"], one["gpus"], one["secrets"]) for one in found] == [(8200, 4, {})]

    def test_a_key_is_shown_by_its_variable(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENGINE_TEST_KEY", "hidden")
        for more in ((), ("--json",)):
            result = run("--model", SHORT, "--api-key-env", "ENGINE_TEST_KEY", "--dry-run", *more)
            assert "hidden" not in result.output
        assert (
            f'{API_KEY}="$ENGINE_TEST_KEY"'
            in run("--model", SHORT, "--api-key-env", "ENGINE_TEST_KEY", "--dry-run").stdout.split()
        )

    def test_for_manifests_no_path_is_this_machines(self, run: Run, tmp_path: Path) -> None:
        result = run("--model", SHORT, "--files", "/etc/vllm", "--host", "0.0.0.0", "--dry-run", "--json")
        [one] = servers(result)
        assert str(tmp_path) not in result.stdout
        assert str(Path.home()) not in result.stdout
        assert [value(one["arguments"], "--chat-template"), value(one["arguments"], "--tool-parser-plugin")] == [
            *one["files"]
        ]
        assert one["files"][f"/etc/vllm/{SHORT}.jinja"] == MODELS[SHORT].chat_template
        assert not (tmp_path / "cache").exists()

    def test_flags_behind_the_dashes_are_passed_on(self, run: Run) -> None:
        [one] = servers(run("--model", SHORT, "--dry-run", "--json", "--", "--seed", "3"))
        assert one["arguments"][-2:] == ["--seed", "3"]

    def test_the_makers_name_does_as_well(self, run: Run) -> None:
        [one] = servers(run("--model", "IQuestLab/IQuest-Coder-V1-40B-Loop-Instruct", "--dry-run", "--json"))
        assert one["model"] == LONG

    def test_an_open_address_without_a_key_is_remarked(self, run: Run) -> None:
        assert "whoever reaches 0.0.0.0" in run("--model", SHORT, "--host", "0.0.0.0", "--dry-run").stderr
        keyed = run("--model", SHORT, "--host", "0.0.0.0", "--api-key-env", "X", "--dry-run")
        assert "whoever" not in keyed.stderr


def test_the_readme_s_three_commands(run: Run) -> None:
    """The servers that the first two start are the endpoints of the third."""
    text = (Path(__file__).parents[4] / "README.md").read_text("utf-8").replace("\\\n", " ")
    section = text[text.index("## On GPUs") :]
    commands = [shlex.split(line, comments=True) for line in section.splitlines() if line.startswith("    yardstick")]
    *engines, serve = commands[:3]
    assert [words[:3] for words in engines] == [["yardstick", "engine", "vllm"]] * 2
    started = [server for words in engines for server in servers(run(*words[3:], "--dry-run", "--json"))]
    given = [word for flag, word in itertools.pairwise(serve) if flag == "--endpoint"]
    endpoints = {(model, settings.port) for word in given for model, settings in endpoint_flag(word)}
    assert serve[:2] == ["yardstick", "serve"]
    assert {(server["model"], server["port"]) for server in started} == endpoints
    used = [server["environment"]["CUDA_VISIBLE_DEVICES"].split(",") for server in started]
    assert sorted(gpu for gpus in used for gpu in gpus) == [str(gpu) for gpu in range(8)]


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "reasons"),
        [
            (["--model", "codegeex"], ["did you mean 'codegeex4-all-9b'?", *MODELS]),
            (["--model", LONG, "--tensor-parallel", "3"], ["cannot be spread over 3 GPUs"]),
            (["--model", LONG, "--gpus", "0-2"], ["3 GPUs cannot be divided into servers of 4"]),
            (["--model", LONG, "--gpus", "3-0"], ["such as 0-3,6"]),
            (["--model", LONG, "--gpus", "0,0,1,2"], ["GPU 0 is listed twice"]),
            (["--model", LONG, "--gpus", "x"], ["such as 0-3,6"]),
            (["--model", LONG, "--window", "131073"], ["made for 131,072 tokens"]),
            (["--model", LONG, "--tiny", "--gpus", "0"], ["leave out --gpus"]),
            (["--model", SHORT, "--gpus", "0-3", "--port", "65534"], ["4 ports from 65534 on do not exist"]),
            (["--model", SHORT, "--swap-space", "4"], ["--swap-space"]),
            (["--model", SHORT, "swap"], ["vLLM's own flags go behind --"]),
            (["--model", SHORT, "--", "--api-key", "x"], ["--api-key-env"]),
            (["--model", SHORT, "--", "--port=1"], ["--port"]),
            (["--model", SHORT, "--weights", ""], ["weights: "]),
            (["--model", SHORT, "--api-key-env", "sk-my-secret"], ["name the variable, never the key"]),
        ],
    )
    def test_wrong_options_exit_with_2(self, run: Run, options: list[str], reasons: list[str]) -> None:
        result = run("--dry-run", *options)
        assert result.exit_code == 2
        assert [reason for reason in reasons if reason not in result.stderr] == []
        assert "sk-my-secret" not in result.output

    def test_a_config_without_that_pool(self, run: Run) -> None:
        result = run("--model", BASE, "--config", "yardstick.yaml", "--dry-run")
        assert result.exit_code == 1
        assert f"no pool of {BASE}, only of {SHORT}, {LONG}" in result.stderr

    def test_a_wrong_engine_section_is_told_with_its_line(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "yardstick.yaml").write_text(CONFIG.replace("max_num_seqs: 64", "max_num_seq: 64"))
        result = run("--model", SHORT, "--config", "yardstick.yaml", "--dry-run")
        assert result.exit_code == 1
        assert "yardstick.yaml:7" in result.stderr
        assert "max_num_seqs" in result.stderr

    def test_a_server_must_not_close_idle_connections_before_the_gateway(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "yardstick.yaml").write_text(CONFIG.replace("max_num_seqs: 64", "keep_alive: 4"))
        result = run("--model", SHORT, "--config", "yardstick.yaml", "--dry-run")
        assert (result.exit_code, "timeouts.upstream_idle" in result.stderr) == (1, True)

    def test_a_key_that_is_not_there_stops_a_start(self, run: Run) -> None:
        result = run("--model", SHORT, "--config", "yardstick.yaml")
        assert result.exit_code != 0
        assert "ENGINE_TEST_KEY is not set" in result.stderr
