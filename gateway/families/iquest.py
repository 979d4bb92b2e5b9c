"""IQuest-Coder: everything that is particular to the family. Loop answers the long, multi-file prompts."""

from __future__ import annotations

from typing import Any

from gateway.families.architecture import Architecture
from gateway.families.base import Model
from gateway.families.infill import FimFormat, Infill
from gateway.families.serving import Serving

# ChatML. The default system prompt is the one that the recorded token ids of the real tokenizer spell out (those of
# Loop-Instruct; no other one is published); tool calls are marked as the `hermes` tool parser expects them. Whether the
# Thinking models' own template opens <think> is not published either: they get the same turns, and open it themselves.
_CHAT_TEMPLATE = """\
{%- if messages and messages[0].role == 'system' %}
{%- set system = messages[0].content %}
{%- else %}
{%- set system = 'You are LoopCoder, a helpful assistant developed by IQuest.' %}
{%- endif %}
{{- '<|im_start|>system\\n' + system }}
{%- if tools %}
{{- '\\n\\n# Tools\\n\\nThese functions can be called; their signatures stand within <tools></tools>:\\n<tools>' }}
{%- for tool in tools %}
{{- '\\n' }}{{- tool | tojson }}
{%- endfor %}
{{- '\\n</tools>\\n\\nTo call one, answer with its name and arguments as JSON within <tool_call></tool_call>:\\n' }}
{{- '<tool_call>\\n{"name": <function-name>, "arguments": <arguments-json-object>}\\n</tool_call>' }}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- for message in messages %}
{%- if loop.first and message.role == 'system' %}{% continue %}{% endif %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": ' }}{{- call.function.name | tojson }}
{{- ', "arguments": ' }}{{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

_CODE_MARKS = ("<|file_sep|>", "<|fim_prefix|>", "<|repo_name|>", "<|fim_suffix|>", "<|fim_middle|>")


def _frame(infill: Infill) -> str:
    """Prefix, suffix, middle; with a path or other files the repository form around it.

    IQuest publishes the tokens' names, not where they go: the source is the convention of the models that have the
    same names (Qwen2.5-Coder's examples for one file and for repositories). The repository's name is not known here.
    What a bare prompt begins with (`<s>`, or nothing) is left to the tokenizer's own setting.
    """
    middle = f"<|fim_prefix|>{infill.prefix}<|fim_suffix|>{infill.suffix}<|fim_middle|>"
    if not infill.path and not infill.references:
        return middle
    files = "".join(f"<|file_sep|>{path}\n{content}\n" for path, content in infill.references)
    return f"<|repo_name|>repository\n{files}<|file_sep|>{infill.path}\n{middle}"


_FIM = FimFormat(
    frame=_frame,
    markers=(*_CODE_MARKS, "<|im_start|>", "<|im_end|>"),
    # <s>, </s>, and from <CLS> to the third of the model's eos ids: no code lies between them.
    stop_token_ids=(1, 2, *range(75_858, 75_870)),
    stops=_CODE_MARKS,  # their ids are not published
)


def _model(size: str, kind: str, **fields: Any) -> Model:
    """The models differ in weights; ``fields`` is what they are known to differ in besides."""
    return Model(
        name=f"iquest-coder-v1-{size}-{kind}".lower(),
        family="iquest",
        hub_id=f"IQuestLab/IQuest-Coder-V1-{size}-{kind}",
        native_window=131_072,
        pool_window=131_072,
        chat_template=_CHAT_TEMPLATE,
        special_tokens=(
            *("<unk>", "<s>", "</s>", "<CLS>", "<SEP>", "<EOD>", "<MASK>", "<PAD>", "<|im_start|>", "<|im_end|>"),
            *("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>"),
        ),
        expansion=None,  # SentencePiece with a custom class: whether it normalises is not published
        bytes_per_token=4.2,
        fim=_FIM,
        calls_tools=True,
        architecture=Architecture(_LAYERS[size], 5120, 40, 8, 128, 27_648, 76_800, loops=2 if "Loop" in size else 1),
        serving=Serving(
            tensor_parallel=4 if "40B" in size else 1,
            tool_parser="hermes",  # as vLLM's own pull request for the family; other sources name qwen3_coder
            reasoning_parser="qwen3" if kind == "Thinking" else None,
        ),
        **fields,
    )


# Loop's sizes are in its public config.json; of the smaller models the model card gives all but the MLP's, which is
# taken to be that of the 40B: it makes 7.6 and 14.4 thousand million weights, as many as their names say.
_LAYERS = {"40B-Loop": 80, "40B": 80, "14B": 28, "7B": 14}

# Published for Instruct. Nothing is for Thinking, which gets what the model server itself has as its defaults.
_INSTRUCT: dict[str, Any] = {"defaults": {"temperature": 0.6, "top_p": 0.85, "top_k": 20}}

MODELS = (
    _model("40B-Loop", "Instruct", **_INSTRUCT),
    _model("40B-Loop", "Thinking"),
    _model("40B", "Instruct", **_INSTRUCT),
    _model("40B", "Thinking"),
    _model("14B", "Instruct", **_INSTRUCT),
    _model("7B", "Instruct", **_INSTRUCT),
)
