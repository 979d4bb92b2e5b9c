"""Presets: their arithmetic against public figures, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.engines.gpus import GIB
from gateway.engines.simulated import explain
from gateway.engines.simulated.explain import explanation
from gateway.engines.simulated.kv import BLOCK_TOKENS
from gateway.engines.simulated.presets import PRESETS, Preset, preset_for
from gateway.engines.simulated.settings import SimulatedSettings
from gateway.engines.simulated.step_time import StepTime
from gateway.families import MODELS

DENSE, LOOP = PRESETS["iquest-40b-tp4-h100"], PRESETS["iquest-40b-loop-tp4-h100"]


def test_loop_doubles_the_arithmetic_and_the_reading_but_not_the_cache() -> None:
    dense, loop = DENSE.step_time, LOOP.step_time
    for name in ("weight_read", "per_token", "per_pair", "per_context"):
        gates = 2e-5 if name == "weight_read" else 1e-9  # which the dense model does not have
        assert getattr(loop, name) == pytest.approx(2 * getattr(dense, name), rel=gates), name
    assert loop.fixed == dense.fixed
    assert LOOP.num_gpu_blocks == pytest.approx(DENSE.num_gpu_blocks, rel=1e-4)


def test_a_model_that_does_not_fit_has_no_room() -> None:
    one = replace(LOOP, machine=replace(LOOP.machine, gpus=1))
    assert one.num_gpu_blocks == 0


def test_every_model_has_a_preset() -> None:
    for model in MODELS:
        assert preset_for(model).num_gpu_blocks > 0
    assert preset_for("iquest-coder-v1-40b-loop-thinking") is LOOP
    assert preset_for("iquest-coder-v1-40b-instruct") is DENSE


def test_unknown_ones_are_named() -> None:
    with pytest.raises(ValueError, match="other-13b has no preset of its own: choose one of codegeex4-9b-h100, "):
        preset_for("other-13b")
    with pytest.raises(ValueError, match=r"unknown preset 'fast'; known: codegeex4-9b-h100, "):
        preset_for("codegeex4-all-9b", "fast")
    assert preset_for("other-13b", "iquest-14b-h100") is PRESETS["iquest-14b-h100"]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_the_explanation_says_what_it_is(preset: Preset) -> None:
    text = explanation(preset)
    assert "computed from public sizes, not measured" in text
    assert all(len(line) <= 130 for line in text.splitlines())


def test_the_explanation_of_a_wrong_coefficient() -> None:
    """A prompt of 128K on the dense 40B: 5.07 of its 12.26 seconds are proportional to its length."""
    rows = {line.split()[0]: line.split()[1:] for line in explanation(DENSE).splitlines() if "%" in line}
    assert rows["per_token"][6:8] == ["-12%", "+12%"]
    assert rows["weight_read"][8:10] == ["-30%", "+30%"]


README = Path(explain.__file__).with_name("README.md")


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_the_readme_has_the_presets_figures(preset: Preset) -> None:
    time = preset.step_time
    prefills = " / ".join(f"{time.prefill(length, 8192):.2f}" for length in (2_048, 8_192, 32_768, 131_072))
    decodes = " / ".join(f"{1 / time.decode(length):.0f}" for length in (2_048, 131_072))
    tokens = preset.num_gpu_blocks * BLOCK_TOKENS
    weights, cached = preset.weight_bytes / GIB, preset.kv_bytes_per_token // 1024
    row = f"| `{preset.name}` | {weights:.1f} GiB | {cached} KiB | {tokens:,} tokens | {prefills} | {decodes} |"
    assert row in README.read_text("utf-8").splitlines()


def test_the_readme_has_loops_sensitivity() -> None:
    table = explanation(LOOP).split("\n\n")[-1].splitlines()[2:]
    assert len(table) == 5
    for name, *cells in map(str.split, table):
        pairs = " | ".join(f"{low} {high}" for low, high in zip(cells[::2], cells[1::2], strict=True))
        assert f"| `{name}` | {pairs} |" in README.read_text("utf-8").splitlines()


# -- what a server is started with --------------------------------------------------------------------------------


def server(tokenizer: Path, **given: Any) -> SimulatedSettings:
    return SimulatedSettings(**{"model": "codegeex4-all-9b", "port": 0, "tokenizer": tokenizer, **given})


def test_defaults_are_the_models_own(tokenizer_file: Path) -> None:
    made = server(tokenizer_file)
    preset = PRESETS["codegeex4-9b-h100"]
    assert (made.window, made.speed, made.num_gpu_blocks) == (131_072, preset.step_time, preset.num_gpu_blocks)
    assert (made.max_num_batched_tokens, made.max_num_seqs) == (8192, 1024)


def test_coefficients_can_stand_in_for_a_preset(tokenizer_file: Path) -> None:
    given = StepTime(weight_read=1, fixed=0, per_token=0, per_pair=0, per_context=0)
    made = server(tokenizer_file, step_time=given, num_gpu_blocks_override=100, window=500)
    assert (made.hardware, made.speed, made.scheduler.num_blocks) == (None, given, 100)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"preset": "fast"}, "unknown preset 'fast'; known: "),
        ({"max_num_batched_tokens": 512}, r"max_num_batched_tokens \(512\) must be at least max_num_seqs \(1024\)"),
        (
            {"num_gpu_blocks_override": 100},
            "a window of 131072 tokens does not fit into the KV cache, which holds 1584",
        ),
        ({"window": 100, "long_prefill_token_threshold": 200}, r"\(200\) must not be greater than the window \(100\)"),
    ],
)
def test_what_vllm_would_not_start_with(tokenizer_file: Path, given: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        server(tokenizer_file, **given)


# -- the command --------------------------------------------------------------------------------------------------


def command(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["engine", "simulate", "--model", "codegeex4-all-9b", *arguments])


def test_explain_serves_nothing() -> None:
    result = command("--explain", "--preset", "iquest-40b-tp4-h100")
    assert (result.exit_code, result.output) == (0, explanation(DENSE) + "\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing option '--port'"),
        (["--explain", "--preset", "fast"], "unknown preset 'fast'; known: codegeex4-9b-h100"),
        (["--port", "0", "--preset", "fast"], "unknown preset 'fast'; known: codegeex4-9b-h100"),
        (["--port", "0", "--max-num-batched-tokens", "16"], "max_num_batched_tokens (16) must be at least"),
    ],
)
def test_wrong_options_are_usage_errors(tokenizer_file: Path, arguments: list[str], complaint: str) -> None:
    result = command("--tokenizer", str(tokenizer_file), *arguments)
    assert result.exit_code == 2
    assert complaint in " ".join(result.output.split())
