"""A checkpoint's folder: configuration, tokenizer and weights, as a model's repository has them."""

from __future__ import annotations

import json
import tempfile
from hashlib import blake2b
from pathlib import Path
from typing import Any

from gateway.engines.vllm.tiny import weights
from gateway.engines.vllm.tiny.shapes import SHAPES, Tensors, cache_bytes_per_token
from gateway.engines.vllm.tiny.vocabulary import Vocabulary, vocabulary
from gateway.families import Model
from gateway.tokens import demo

_RECIPE = 1  # to be raised when the same configuration gets other weights
_WINDOWS = 2  # that the KV cache holds: one prompt that fills the window is kept while another one is read


def cache_bytes(model: Model, window: int) -> int:
    """What `--kv-cache-memory-bytes` has to be, for each process, with room for two prompts of a whole ``window``.

    It does not depend on the tensor parallel size: the one head of keys and values stands in every process.
    """
    return _WINDOWS * window * cache_bytes_per_token(model)


def make(model: Model, folder: Path, tokenizer: Path | None = None) -> Path:
    """A folder within ``folder`` with a tiny checkpoint of the model's architecture and random weights.

    The same model and tokenizer give the same folder, which is kept: it is written once, whole or not at all, and
    several processes may ask for it at once. ``tokenizer``: a tokenizer.json whose tokens it gets, by default those of
    `demo-bpe`, which is trained on first use (10 s). Takes less than a second and at most 40 MB. Raises OSError, and
    ValueError if there is no tiny one of the model or the tokenizer cannot be used.
    """
    shape = SHAPES.get(model.family)
    if shape is None:
        raise ValueError(
            f"no tiny checkpoint can be made of {model.name}: how models of the family {model.family!r} are built is"
            f" not known here, only {' and '.join(sorted(SHAPES))}"
        )
    words = vocabulary(model, tokenizer or demo.cached())
    texts = _texts(model, shape.config(model, words), words)
    made = folder / f"{model.name}-{_hash(texts)}"
    if not made.is_dir():
        _write(made, texts, shape.tensors(model, words))
    return made


def _texts(model: Model, config: dict[str, Any], words: Vocabulary) -> dict[str, str]:
    """All files but the weights. A chat template is not among them: servers are given it, as for the real models."""
    generation = {"eos_token_id": config["eos_token_id"], "pad_token_id": config["pad_token_id"]}
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.native_window,
        "eos_token": words.end,
        "pad_token": words.end,
        "clean_up_tokenization_spaces": False,
    }
    described = {"config": config, "generation_config": generation, "tokenizer_config": tokenizer}
    files = {f"{name}.json": json.dumps(value, indent=2) + "\n" for name, value in described.items()}
    return {**files, "tokenizer.json": words.tokenizer}


def _hash(texts: dict[str, str]) -> str:
    return blake2b(json.dumps([_RECIPE, texts]).encode(), digest_size=6).hexdigest()


def _write(made: Path, texts: dict[str, str], tensors: Tensors) -> None:
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent, prefix=f".{made.name}-") as parts:
        part = Path(parts) / made.name
        part.mkdir()
        for name, text in texts.items():
            (part / name).write_text(text, "utf-8")
        weights.write(tensors, part / "model.safetensors")
        try:
            part.rename(made)
        except OSError:
            if not made.is_dir():  # otherwise another process was faster, and its folder has the same in it
                raise
