"""Tiny checkpoints: what is in their files. That real vLLM serves them is tested in tests/vllm."""

from __future__ import annotations

import gzip
import json
import math
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from gateway.engines.vllm.tiny import cache_bytes, make
from gateway.families import MODELS, Model, render
from gateway.tokens import Counter, demo

CODEGEEX4, CODEGEEX2 = MODELS["codegeex4-all-9b"], MODELS["codegeex2-6b"]
LOOP, PLAIN = MODELS["iquest-coder-v1-40b-loop-instruct"], MODELS["iquest-coder-v1-40b-instruct"]
each_model = pytest.mark.parametrize("model", [CODEGEEX4, CODEGEEX2, LOOP, PLAIN], ids=lambda model: model.name)

TEXTS = [
    "def f(x):\n    return x + 1\n",
    "<|user|>\nhi<|assistant|>\n<|im_start|>user\nhi<|im_end|>\n</s><s>[gMASK]<sop>",
    "naïve Größe 你好，世界 🚀 \x00 \t\t\n\n  1234567",
    "",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.train(tmp_path_factory.mktemp("tokenizer") / "demo.json", corpus_bytes=300_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


def read(made: Path, name: str) -> Any:
    return json.loads((made / f"{name}.json").read_text())


class Weights:
    """A safetensors file, read by its format's description."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        self.header: dict[str, Any] = json.loads(data[8 : 8 + length])
        assert self.header.pop("__metadata__") == {"format": "pt"}
        self.data = data[8 + length :]

    def rows(self, name: str) -> list[list[float]]:
        """A bfloat16 is the upper half of a float32."""
        described = self.header[name]
        start, end = described["data_offsets"]
        halves = struct.unpack(f"<{(end - start) // 2}H", self.data[start:end])
        numbers = struct.unpack(f"<{len(halves)}f", struct.pack(f"<{len(halves)}I", *(half << 16 for half in halves)))
        width = described["shape"][-1]
        return [list(numbers[at : at + width]) for at in range(0, len(numbers), width)]


@each_model
def test_the_real_sizes(model: Model, folder: Path, tokenizer: Path) -> None:
    made = make(model, folder, tokenizer)
    config = read(made, "config")
    assert model.architecture
    assert config["vocab_size"] == model.architecture.vocabulary
    assert (config.get("seq_length") or config["max_position_embeddings"]) == model.native_window
    assert made.parent == folder
    assert made.name.startswith(model.name)


def test_the_architectures_are_those_of_the_models(folder: Path, tokenizer: Path) -> None:
    classes = {}
    for model in MODELS.values():
        config = read(make(model, folder, tokenizer), "config")
        classes[model.name] = config["architectures"], config.get("loop_num"), config.get("loop_window_size")
    looped, plain = (["IQuestLoopCoderForCausalLM"], 2, 64), (["IQuestCoderForCausalLM"], None, None)
    for name, found in classes.items():
        expected = (["ChatGLMModel"], None, None) if "codegeex" in name else looped if "loop" in name else plain
        assert found == expected, name


def test_special_tokens_have_their_real_ids(folder: Path, tokenizer: Path) -> None:
    """Those of CodeGeeX4 as in GLM-4's tokenizer.json, those of IQuest as in ids from the real tokenizer."""
    codegeex4 = Tokenizer.from_file(str(make(CODEGEEX4, folder, tokenizer) / "tokenizer.json"))
    ids = codegeex4.encode("[gMASK]<sop><|user|>\n<|assistant|>\n<|observation|><|endoftext|><|end_of_video|>").ids
    newline = codegeex4.encode("\n").ids
    assert ids == [151331, 151333, 151336, *newline, 151337, *newline, 151338, 151329, 151342]
    iquest = Tokenizer.from_file(str(make(LOOP, folder, tokenizer) / "tokenizer.json"))
    ids = iquest.encode("<|im_start|><|im_end|><unk><s></s><CLS><PAD>").ids
    assert ids == [75863, 75864, 0, 1, 2, 75858, 75862]
    for name in ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>"):
        assert len(iquest.encode(name).ids) == 1


def test_the_ids_that_end_an_answer_are_those_of_the_real_models(folder: Path, tokenizer: Path) -> None:
    ends = {CODEGEEX4.name: [151329, 151336, 151338], LOOP.name: [2, 75864, 75869], CODEGEEX2.name: [2]}
    for name, expected in ends.items():
        made = make(MODELS[name], folder, tokenizer)
        for file in ("config", "generation_config"):
            found = read(made, file)["eos_token_id"]
            assert sorted(found if isinstance(found, list) else [found]) == expected
    assert all(0 <= number < 76_800 for number in LOOP.fim.stop_token_ids) if LOOP.fim else False


@each_model
def test_the_gateway_counts_exactly_with_its_tokenizer(model: Model, folder: Path, tokenizer: Path) -> None:
    path = make(model, folder, tokenizer) / "tokenizer.json"
    counter, reference = Counter.load(path), Tokenizer.from_file(str(path))
    assert counter.exact_library == "tiktoken", "the fast one"
    prompts = [render(model, {"messages": [{"role": "user", "content": TEXTS[0]}]})] if model.chat_template else []
    for text in [*TEXTS, *prompts]:
        assert counter.count(text, 10**6).tokens == len(reference.encode(text, add_special_tokens=False))
        assert counter.count(text, 10**6, special=True).tokens == len(reference.encode(text))
        assert reference.decode(reference.encode(text).ids, skip_special_tokens=False).endswith(text)


def test_codegeex2_puts_its_two_marks_before_a_prompt(folder: Path, tokenizer: Path) -> None:
    reference = Tokenizer.from_file(str(make(CODEGEEX2, folder, tokenizer) / "tokenizer.json"))
    assert reference.encode("x").ids[:2] == [64790, 64792]


@each_model
def test_weights_are_a_whole_safetensors_file(model: Model, folder: Path, tokenizer: Path) -> None:
    weights = Weights(make(model, folder, tokenizer) / "model.safetensors")
    at = 0
    for tensor in weights.header.values():
        assert tensor["dtype"] == "BF16"
        assert tensor["data_offsets"] == [at, at + 2 * math.prod(tensor["shape"])]
        at = tensor["data_offsets"][1]
    assert at == len(weights.data)


@each_model
def test_only_tokens_that_exist_can_be_written(model: Model, folder: Path, tokenizer: Path) -> None:
    """The first dimension is 1 for every token and no layer changes it; the output matrix reads it as a bias."""
    made = make(model, folder, tokenizer)
    weights = Weights(made / "model.safetensors")
    described = read(made, "tokenizer")
    ends = read(made, "generation_config")["eos_token_id"]
    special = {token["id"] for token in described["added_tokens"]} - set(ends if isinstance(ends, list) else [ends])
    allowed = set(described["model"]["vocab"].values()) - special
    for name in weights.header:
        if "embed" in name:
            assert all(row[0] == 1 for row in weights.rows(name))
        elif "output_layer" in name or "lm_head" in name:
            for token, row in enumerate(weights.rows(name)):
                assert row[0] == (0 if token in allowed else -1000)
                assert any(row[1:]) == (token in allowed)
        elif name.endswith(("dense.weight", "4h_to_h.weight", "o_proj.weight", "down_proj.weight")):
            assert not any(weights.rows(name)[0])
        elif "norm" in name:
            assert weights.rows(name)[0][0] == (1 if "final" in name or name == "model.norm.weight" else 0)
        else:
            assert all(1 / 32 <= abs(number) < 1 / 8 for row in weights.rows(name) for number in row), name


def test_the_same_model_and_tokenizer_give_the_same_bytes(folder: Path, tokenizer: Path, tmp_path: Path) -> None:
    first, second = make(LOOP, folder, tokenizer), make(LOOP, tmp_path, tokenizer)
    names = sorted(path.name for path in first.iterdir())
    assert first.name == second.name
    assert len(names) == 5
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_another_tokenizer_gives_another_folder(folder: Path, tokenizer: Path, tmp_path: Path) -> None:
    other = demo.train(tmp_path / "other.json", corpus_bytes=200_000)
    assert make(LOOP, folder, other) != make(LOOP, folder, tokenizer)


def test_a_made_one_is_kept(folder: Path, tokenizer: Path) -> None:
    path = make(LOOP, folder, tokenizer) / "model.safetensors"
    before = path.stat()
    make(LOOP, folder, tokenizer)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_several_at_once_make_one(tmp_path: Path, tokenizer: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: make(LOOP, tmp_path, tokenizer), range(4)))
    assert list(tmp_path.iterdir()) == list(made)
    assert Weights((made.pop()) / "model.safetensors").header


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, tokenizer: Path) -> None:
    """As a limit on the size of files has it, which the weights go past."""
    program = (
        "import resource, sys; from pathlib import Path; from gateway.families import MODELS;"
        "from gateway.engines.vllm.tiny import make;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20));"
        f"make(MODELS[{LOOP.name!r}], Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "tiny"), str(tokenizer)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    assert "File too large" in found.stderr
    assert list((tmp_path / "tiny").iterdir()) == []


def test_a_real_tokenizer_is_left_as_it_is(folder: Path) -> None:
    data = os.environ.get("YARDSTICK_TEST_DATA")
    if not data:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no real tokenizer")
    source = Path(data) / "tokenizers" / "glm4" / "tokenizer.json.gz"
    made = make(CODEGEEX4, folder, source)
    assert read(made, "tokenizer") == json.loads(gzip.decompress(source.read_bytes()))
    output = Weights(made / "model.safetensors").rows("transformer.output_layer.weight")
    assert [token for token, row in enumerate(output) if row[0] == 0] == [*range(151_329), 151_329, 151_336, 151_338]
    with pytest.raises(ValueError, match=r"151,329 tokens, and there is room for 75,855"):
        make(LOOP, folder, source)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no JSON", "Expecting value"),
        ("[]", "no tokenizer.json of a BPE"),
        ('{"added_tokens": [], "model": {"type": "Unigram"}}', "it is a Unigram, not a BPE"),
        ('{"added_tokens": [], "model": {"type": "BPE"}}', r"no tokenizer.json of a BPE \(KeyError\('vocab'\)\)"),
    ],
)
def test_what_is_no_tokenizer_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=f"tokenizer.json cannot be the tokenizer of a tiny {LOOP.name}: .*{complaint}"
    ):
        make(LOOP, tmp_path, path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_whose_architecture_is_not_known(tmp_path: Path, tokenizer: Path) -> None:
    stranger = replace(LOOP, name="acme-coder-3b", family="acme", architecture=None)
    with pytest.raises(ValueError, match=r"no tiny checkpoint .* acme-coder-3b: .* only codegeex and iquest"):
        make(stranger, tmp_path, tokenizer)
    with pytest.raises(ValueError, match=r"special tokens of iquest-coder.* are not known here"):
        make(replace(LOOP, architecture=None), tmp_path, tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_has_room_for_two_whole_windows() -> None:
    """Two layers, keys and values, one head of 32 numbers of two bytes; a looped model twice that."""
    assert cache_bytes(CODEGEEX4, 131_072) == 2 * 131_072 * 2 * 2 * 32 * 2
    assert cache_bytes(LOOP, 131_072) == 2 * cache_bytes(PLAIN, 131_072) == 128 * 2**20
