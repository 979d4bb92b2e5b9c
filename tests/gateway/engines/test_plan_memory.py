"""The memory plan: its figures against published ones, what fits and what helps where it does not, and the command."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.engines import plan
from gateway.engines.gpus import GIB, KNOWN
from gateway.engines.plan import (
    Fit,
    MemorySettings,
    PlanError,
    fits,
    kv_blocks,
    kv_bytes_per_token,
    largest_window,
    sizes,
    weight_bytes,
)
from gateway.families import MODELS

H100 = KNOWN["h100"].memory
LOOP, DENSE, SHORT = (
    MODELS[name] for name in ("iquest-coder-v1-40b-loop-instruct", "iquest-coder-v1-40b-instruct", "codegeex4-all-9b")
)
README = Path(plan.__file__).with_name("README.md")


# -- published figures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("codegeex4-all-9b", 18.8e9 / GIB),
        ("codegeex2-6b", 2 * 6.24e9 / GIB),
        ("iquest-coder-v1-7b-instruct", 2 * 7.6e9 / GIB),
        ("iquest-coder-v1-14b-instruct", 2 * 14.4e9 / GIB),
        ("iquest-coder-v1-40b-instruct", 74.0),
        ("iquest-coder-v1-40b-loop-instruct", 74.0),
    ],
)
def test_weights_are_as_large_as_published(model: str, weights: float) -> None:
    assert weight_bytes(sizes(MODELS[model])) / GIB == pytest.approx(weights, rel=0.01)


@pytest.mark.parametrize(
    ("model", "gpus", "settings", "kib"),
    [
        (SHORT, 1, {}, 40),
        (SHORT, 2, {}, 20),
        (SHORT, 4, {}, 20),  # two KV heads: each is kept twice
        (SHORT, 8, {}, 20),
        (DENSE, 1, {}, 320),
        (LOOP, 1, {}, 320),
        (LOOP, 8, {}, 40),
        (LOOP, 1, {"hybrid": False}, 640),
        (LOOP, 1, {"kv_cache_dtype": "fp8"}, 160),
        (LOOP, 1, {"weight_type_bytes": 4}, 640),
    ],
)
def test_cache_of_a_token(model: Any, gpus: int, settings: dict[str, Any], kib: int) -> None:
    assert kv_bytes_per_token(sizes(model), gpus, MemorySettings(**settings)) == kib * 1024


@pytest.mark.parametrize(("gpus", "tokens_of", "logged"), [(2, 1.6, 1.4), (4, 5.0, 4.4), (8, 12.0, 10.5)])
def test_sequences_of_128k_that_loop_holds(gpus: int, tokens_of: float, logged: float) -> None:
    """The known figures count 320 KiB a token and no more; vLLM reserves blocks for the second cache as well."""
    assert kv_blocks(sizes(LOOP), H100, gpus) * 16 / 131_072 == pytest.approx(tokens_of, rel=0.03)
    assert fits(LOOP, H100, gpus).sequences == pytest.approx(logged, abs=0.05)


@pytest.mark.parametrize(
    ("model", "file"),
    [
        (LOOP, "iquest-coder-v1-40b-loop-instruct"),
        (SHORT, "glm-4-9b"),
        (MODELS["codegeex2-6b"], "codegeex2-6b"),
    ],
)
def test_sizes_are_those_of_the_published_configurations(model: Any, file: str) -> None:
    data = os.environ.get("YARDSTICK_TEST_DATA")
    if data is None:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no published config.json")
    config = json.loads((Path(data) / "models" / f"{file}.config.json").read_text("utf-8"))
    names = {
        "layers": ("num_hidden_layers", "num_layers"),
        "hidden": ("hidden_size",),
        "heads": ("num_attention_heads",),
        "kv_heads": ("num_key_value_heads", "multi_query_group_num"),
        "head_dim": ("head_dim", "kv_channels"),
        "intermediate": ("intermediate_size", "ffn_hidden_size"),
        "vocabulary": ("vocab_size", "padded_vocab_size"),
    }
    size = sizes(model)
    assert {own: getattr(size, own) for own in names} == {
        own: next(config[each] for each in theirs if each in config) for own, theirs in names.items()
    }
    assert (size.loops, size.qkv_bias) == (config.get("loop_num", 1), config.get("add_qkv_bias", False))
    assert size.loops == 1 or size.loop_window == config["loop_window_size"]
    assert config["tie_word_embeddings"] is False


@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
def test_the_readme_has_the_figures(gpus: int) -> None:
    def cells(fit: Fit) -> str:
        held = f"{fit.sequences:.1f}" if fit.fits else "does not fit"
        return f"{fit.weights / GIB:.1f} GiB | {fit.kv_per_token / 1024:g} KiB | {held}"

    row = " | ".join(cells(fits(model, H100, gpus, 131_072)) for model in (LOOP, SHORT))
    assert f"| {gpus} | {row} |" in README.read_text("utf-8").splitlines()


# -- what fits -----------------------------------------------------------------------------------------------------


def test_it_fits_down_to_the_last_byte() -> None:
    fit = fits(LOOP, H100, 1)
    assert (fit.fits, fit.impossible) == (False, True)
    exact = MemorySettings(gpu_memory_utilization=1.0, overhead=0)
    needed = fits(LOOP, 0, 1, settings=exact).missing
    assert fits(LOOP, needed, 1, settings=exact).fits
    assert not fits(LOOP, needed - 1, 1, settings=exact).fits


def test_what_does_not_fit_says_what_helps_and_each_of_it_does() -> None:
    small = fits(LOOP, 48 * GIB, 2)
    assert not small.fits
    assert small.reason == (
        "iquest-coder-v1-40b-loop-instruct does not fit on 2 GPUs of 48.0 GiB: of 39.2 GiB that can be used on each"
        " (92% less 5 GiB for activations and buffers) the weights take 37.1; the rest holds 0.09 sequences of 131,072"
        " tokens, and one is needed. 20.4 GiB are missing on each. What helps: --tensor-parallel 4, or --window 6144"
    )
    assert fits(LOOP, 48 * GIB, 4).fits
    assert fits(LOOP, 48 * GIB, 2, 6_144).fits
    assert not fits(LOOP, 48 * GIB, 2, 6_144 + 1_024).fits


def test_a_smaller_cache_helps_where_half_of_it_is_enough() -> None:
    fit = fits(LOOP, 64 * GIB, 2)
    assert fit.reason.endswith("What helps: --tensor-parallel 4, or --window 93184, or kv_cache_dtype fp8")
    assert fits(LOOP, 64 * GIB, 2, settings=MemorySettings(kv_cache_dtype="fp8")).fits


def test_what_only_the_assumed_overhead_forbids_may_fit() -> None:
    fit = fits(SHORT, KNOWN["rtx4090"].memory, 1)
    assert (fit.fits, fit.impossible) == (False, False)
    assert "may not fit on 1 GPU of 24.0 GiB" in fit.reason


def test_nothing_helps_but_larger_gpus() -> None:
    assert fits(LOOP, 10 * GIB, 8).reason.endswith("What helps: GPUs with more memory")
    assert largest_window(LOOP, 10 * GIB, 8) == 0


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_more_gpus_never_hold_less(model: Any) -> None:
    made = [fits(model, H100, gpus) for gpus in model.serving.tensor_parallel_sizes]
    for fewer, more in pairwise(made):
        assert more.weights < fewer.weights
        assert more.sequences > fewer.sequences
        assert fewer.tensor_parallel * fewer.weights <= more.tensor_parallel * more.weights


@pytest.mark.parametrize(
    ("gpus", "reason"),
    [
        (3, "40 attention heads cannot be spread evenly over 3 GPUs"),
        (5, "27648 numbers of the MLP cannot be spread evenly over 5 GPUs"),
        (16, "40 attention heads cannot be spread evenly over 16 GPUs"),
    ],
)
def test_numbers_of_gpus_that_cannot_be(gpus: int, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        fits(LOOP, H100, gpus)


def test_kv_heads_that_can_be_neither_divided_nor_repeated() -> None:
    odd = replace(sizes(LOOP), heads=48, kv_heads=6)
    with pytest.raises(PlanError, match="6 KV heads can be neither divided among 4 GPUs nor repeated"):
        weight_bytes(odd, 4)


def test_unknown_sizes_and_caches_are_no_plan() -> None:
    with pytest.raises(PlanError, match="codegeex4-all-9b: its family does not say what it is made of"):
        fits(replace(SHORT, architecture=None), H100, 1)
    with pytest.raises(PlanError, match="a KV cache of nvfp4 cannot be planned"):
        fits(SHORT, H100, 1, settings=MemorySettings(kv_cache_dtype="nvfp4"))


# -- the command ---------------------------------------------------------------------------------------------------


def command(*arguments: str, path: Path = Path(__file__).parent) -> Result:
    """With no nvidia-smi but the one in ``path``."""
    return CliRunner().invoke(main, ["engine", "plan", *arguments], env={"PATH": str(path)})


def test_the_table() -> None:
    result = command("--gpu", "h100")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "8 x H100 80 GB, 79.6 GiB each (given with --gpu)."
    rows = [" ".join(line.split()) for line in lines if line.startswith("   ")]
    assert rows[1] == "2 37.1 GiB 160 KiB 31.2 GiB 181,718 1.4 1.4 fits"
    assert rows[4] == "1 17.5 GiB 40 KiB 50.8 GiB 1,330,816 40.6 10.2 fits"
    assert [row[0] for row in rows] == ["1", "2", "4", "8"] * 2
    assert "does not fit: 50.9 GiB more needed" in result.output
    assert lines[-1].startswith("To begin with, of 8 GPUs: 4 for one server of iquest-coder-v1-40b-loop-instruct (4.4")
    assert max(map(len, lines[:-1])) <= 130


def test_without_a_gpu_one_is_assumed_and_said() -> None:
    result = command("--model", SHORT.name, "--gpus", "1")
    assert result.output.startswith("1 x H100 80 GB, 79.6 GiB each (assumed, as this machine has no GPU;")


def test_the_machines_own_gpus(tmp_path: Path) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho '0, NVIDIA L40S, 46068, 45500'\necho '1, NVIDIA L4, 23034, 9000'\n")
    script.chmod(0o755)
    result = command("--model", SHORT.name, path=tmp_path)
    assert result.output.startswith("2 x NVIDIA L4, 22.5 GiB each (of this machine).")
    assert "GPU 1 has 8.8 GiB free now, too little for vLLM to start: end what uses it" in result.output
    assert "GPU 0" not in result.output


def test_json_has_bytes() -> None:
    result = command("--gpu", "80", "--model", LOOP.name, "--tensor-parallel", "4", "--json")
    (planned,) = json.loads(result.output)["plans"]
    fit = fits(LOOP, 80 * GIB, 4)
    assert (planned["weights"], planned["sequences"], planned["fits"]) == (fit.weights, fit.sequences, True)
    assert planned["host_memory"] == weight_bytes(sizes(LOOP)) + 28 * GIB


def test_what_does_not_fit_ends_with_1() -> None:
    result = command("--gpu", "48", "--model", LOOP.name, "--tensor-parallel", "2")
    assert result.exit_code == 1
    assert fits(LOOP, 48 * GIB, 2).reason in result.stderr
    assert command("--gpu", "48", "--model", LOOP.name).exit_code == 0
    both = command("--gpu", "24", "--gpus", "2")
    assert both.exit_code == 1
    assert "Both families do not fit on 2 GPUs: they need more than 2 and 2." in both.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--gpu", "big"], "'big' is no GPU known here"),
        (["--model", "gpt"], "'gpt' is not one of"),
        (["--tensor-parallel", "3"], "runs on 1, 2, 4, 8 GPUs, not on 3"),
        (["--tensor-parallel", "8", "--gpus", "4"], "--tensor-parallel 8 needs as many GPUs, and there are 4"),
        (["--model", "codegeex2-6b", "--window", "9000"], "was made for 8,192 tokens: --window cannot be 9,000"),
    ],
)
def test_wrong_options_are_usage_errors(arguments: list[str], complaint: str) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert complaint in " ".join(result.output.split())
