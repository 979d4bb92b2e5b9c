"""The configurations and the tensors of the two families' architectures, as small as vLLM's attention on a CPU allows.

Names and shapes are those that vLLM 0.32's model classes read (`ChatGLMModel`, `IQuestCoderForCausalLM`,
`IQuestLoopCoderForCausalLM`); vocabularies, windows, ends of text and what makes Loop a looped model are the real ones.

In the first dimension of the stream that runs through the layers stands the same number for every token: embeddings
put it there, layers neither see nor change it. The output matrix uses it to keep ids without a token from being drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.engines.vllm.tiny.vocabulary import Vocabulary
from gateway.engines.vllm.tiny.weights import NUMBER_BYTES, Tensor, embedding, norm, output, random, without_first_row
from gateway.families import Model

_HEAD = 32  # the smallest size of a head that vLLM's attention on a CPU takes
_HEADS, _KV_HEADS = 2, 1  # two, so that two processes can share them
_HIDDEN, _MLP, _LAYERS = _HEADS * _HEAD, 128, 2
_KV = _KV_HEADS * _HEAD
_LOOP_WINDOW = 64

Tensors = dict[str, Tensor]


class Shape(NamedTuple):
    """``config``: of config.json. ``tensors``: the weights, by their names."""

    config: Callable[[Model, Vocabulary], dict[str, Any]]
    tensors: Callable[[Model, Vocabulary], Tensors]


def cache_bytes_per_token(model: Model) -> int:
    """Each pass of a looped model has keys and values of its own; that later ones need only a window is left out."""
    return loops(model) * 2 * _LAYERS * _KV * NUMBER_BYTES


def loops(model: Model) -> int:
    return model.architecture.loops if model.architecture else 1


def _chatglm_config(model: Model, vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "num_layers": _LAYERS,
        "hidden_size": _HIDDEN,
        "ffn_hidden_size": _MLP,
        "kv_channels": _HEAD,
        "num_attention_heads": _HEADS,
        "multi_query_attention": True,
        "multi_query_group_num": _KV_HEADS,
        "padded_vocab_size": vocabulary.size,
        "vocab_size": vocabulary.size,
        "seq_length": model.native_window,
        "layernorm_epsilon": 1e-5,
        "rmsnorm": True,
        "post_layer_norm": True,
        "apply_residual_connection_post_layernorm": False,
        "fp32_residual_connection": False,
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "original_rope": True,
        "rope_ratio": 500 if model.native_window > 8192 else 1,
        **_common(vocabulary),
    }


def _chatglm_tensors(model: Model, vocabulary: Vocabulary) -> Tensors:
    seed = model.name

    def drawn(name: str, *shape: int) -> Tensor:
        return random(f"{seed} {name}", *shape)

    tensors = {
        "transformer.embedding.word_embeddings.weight": embedding(f"{seed} embedding", vocabulary.size, _HIDDEN),
        "transformer.encoder.final_layernorm.weight": norm(_HIDDEN, first=True),
        "transformer.output_layer.weight": output(
            f"{seed} output", vocabulary.size, _HIDDEN, allowed=vocabulary.written
        ),
    }
    for layer in range(_LAYERS):
        at = f"transformer.encoder.layers.{layer}."
        qkv, dense = f"{at}self_attention.query_key_value", f"{at}self_attention.dense.weight"
        up, down = f"{at}mlp.dense_h_to_4h.weight", f"{at}mlp.dense_4h_to_h.weight"
        tensors |= {
            f"{at}input_layernorm.weight": norm(_HIDDEN, first=False),
            f"{qkv}.weight": drawn(f"{qkv}.weight", _HIDDEN + 2 * _KV, _HIDDEN),
            f"{qkv}.bias": drawn(f"{qkv}.bias", _HIDDEN + 2 * _KV),
            dense: without_first_row(drawn(dense, _HIDDEN, _HIDDEN)),
            f"{at}post_attention_layernorm.weight": norm(_HIDDEN, first=False),
            up: drawn(up, 2 * _MLP, _HIDDEN),
            down: without_first_row(drawn(down, _HIDDEN, _MLP)),
        }
    return tensors


def _iquest_config(model: Model, vocabulary: Vocabulary) -> dict[str, Any]:
    looped = {"loop_num": loops(model), "loop_window_size": _LOOP_WINDOW} if loops(model) > 1 else {}
    return {
        "architectures": ["IQuestLoopCoderForCausalLM" if looped else "IQuestCoderForCausalLM"],
        # Their own types ("iquestcoder", "iquestloopcoder") are read by Python files of the models' repositories only.
        "model_type": "llama",
        "num_hidden_layers": _LAYERS,
        "hidden_size": _HIDDEN,
        "intermediate_size": _MLP,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _KV_HEADS,
        "head_dim": _HEAD,
        "hidden_act": "silu",
        "vocab_size": vocabulary.size,
        "max_position_embeddings": model.native_window,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
        "attention_bias": False,
        "mlp_bias": False,
        **looped,
        **_common(vocabulary),
    }


def _iquest_tensors(model: Model, vocabulary: Vocabulary) -> Tensors:
    seed = model.name

    def drawn(name: str, *shape: int) -> Tensor:
        return random(f"{seed} {name}", *shape)

    tensors = {
        "model.embed_tokens.weight": embedding(f"{seed} embedding", vocabulary.size, _HIDDEN),
        "model.norm.weight": norm(_HIDDEN, first=True),
        "lm_head.weight": output(f"{seed} output", vocabulary.size, _HIDDEN, allowed=vocabulary.written),
    }
    for layer in range(_LAYERS):
        at = f"model.layers.{layer}."
        plain = {
            f"{at}self_attn.q_proj.weight": (_HIDDEN, _HIDDEN),
            f"{at}self_attn.k_proj.weight": (_KV, _HIDDEN),
            f"{at}self_attn.v_proj.weight": (_KV, _HIDDEN),
            f"{at}mlp.gate_proj.weight": (_MLP, _HIDDEN),
            f"{at}mlp.up_proj.weight": (_MLP, _HIDDEN),
        }
        back = {f"{at}self_attn.o_proj.weight": (_HIDDEN, _HIDDEN), f"{at}mlp.down_proj.weight": (_HIDDEN, _MLP)}
        tensors |= {name: drawn(name, *shape) for name, shape in plain.items()}
        tensors |= {name: without_first_row(drawn(name, *shape)) for name, shape in back.items()}
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}{name}.weight"] = norm(_HIDDEN, first=False)
    return tensors | (_gates(seed) if loops(model) > 1 else {})


def _gates(seed: str) -> Tensors:
    """How much of a later pass comes from the first pass's cache: one gate for each head."""
    tensors = {}
    for layer in range(_LAYERS):
        at = f"model.gate_projections.{layer}"
        tensors[f"{at}.weight"] = random(f"{seed} {at}.weight", _HEADS, _HEAD)
        tensors[f"{at}.bias"] = random(f"{seed} {at}.bias", _HEADS)
    return tensors


def _common(vocabulary: Vocabulary) -> dict[str, Any]:
    ends = list(vocabulary.ends)
    return {
        "eos_token_id": ends if len(ends) > 1 else ends[0],
        "pad_token_id": ends[0],
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
    }


SHAPES = {"codegeex": Shape(_chatglm_config, _chatglm_tensors), "iquest": Shape(_iquest_config, _iquest_tensors)}
"""By family."""
