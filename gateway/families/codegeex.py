"""CodeGeeX: everything that is particular to the family. CodeGeeX4 answers the short prompts."""

from __future__ import annotations

from gateway.families.architecture import Architecture
from gateway.families.base import Model
from gateway.families.infill import FimFormat, Infill
from gateway.families.serving import Serving

# Turns have no end mark; the end of an answer is the next turn's mark, hence the stop ids below. The model's own
# tokenizer code takes functions as a `tool` turn, for which its vocabulary has no mark: it lists them under these
# headings in the system turn (sources: THUDM/CodeGeeX4, issue 8; tool_codegeex4.py in foldl/chatllm.cpp). Calls come in
# JSON blocks, one for each (function_call_demo in THUDM/CodeGeeX4), which our vLLM tool parser reads.
_CHAT_TEMPLATE = """\
{{- '[gMASK]<sop>' }}
{%- set system = messages[0].content if messages and messages[0].role in ('system', 'developer') %}
{%- if tools %}
{{- '<|system|>\\n' }}{{- system + '\\n\\n' if system }}
{{- '# Note\\n- The functions below can be called. To call one, answer with a JSON block and nothing around it:\\n' }}
{{- '```json\\n{"name": <function name>, "arguments": <JSON object of its arguments>}\\n```\\n' }}
{{- '- Several calls are several blocks. If no function helps, answer in words.\\n\\n# Functions\\n' }}
{%- for tool in tools %}
{%- set function = tool.function if tool.function else tool %}
{{- '\\n## Function ' ~ loop.index ~ '\\n\\n### Name\\n' ~ function.name ~ '\\n' }}
{{- '\\n### Description\\n' ~ function.description ~ '\\n' if function.description }}
{{- '\\n### Parameters\\n```json\\n' + function.parameters | tojson + '\\n```\\n' if function.parameters }}
{%- endfor %}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|observation|>\\n' + message.content }}
{%- elif not (loop.first and tools and message.role in ('system', 'developer')) %}
{{- '<|' + ('system' if message.role == 'developer' else message.role) + '|>\\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '\\n' if message.content or not loop.first }}{{- '```json\\n{"name": ' }}{{- call.function.name | tojson }}
{{- ', "arguments": ' }}{{- call.function.arguments | tojson }}{{- '}\\n```' }}
{%- endfor %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|assistant|>\\n' }}
{%- endif %}
"""

_CODE_MARKS = ("<|code_suffix|>", "<|code_prefix|>", "<|code_middle|>")


def _frame(infill: Infill) -> str:
    """One user turn, the suffix before the prefix (source: CodeGeeX4's own infilling guide).

    `[gMASK]<sop>`, with which every prompt begins, is written here and `add_special_tokens` is false: the model's own
    tokenizer class adds the two by itself, converted tokenizer files do not, and either way there has to be one of
    each. The guide's default mode is BLOCK; a language that is not known is left blank.
    """
    files = "".join(f"###REFERENCE:\n###PATH:{path}\n{content}\n" for path, content in infill.references)
    return (
        f"[gMASK]<sop><|user|>\n{files}"
        f"###PATH:{infill.path}\n###LANGUAGE:{infill.language}\n###MODE:{infill.mode.upper()}\n"
        f"<|code_suffix|>{infill.suffix}<|code_prefix|>{infill.prefix}<|code_middle|><|assistant|>\n"
    )


CODEGEEX4 = Model(
    name="codegeex4-all-9b",
    family="codegeex",
    hub_id="zai-org/codegeex4-all-9b",
    native_window=131_072,
    pool_window=32_768,
    chat_template=_CHAT_TEMPLATE,
    special_tokens=(
        *("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"),
        *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
        *("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
        *("<|code_prefix|>", "<|code_middle|>", "<|code_suffix|>"),
    ),
    expansion=1,  # a byte-level BPE without normaliser
    bytes_per_token=4.2,
    defaults={"stop_token_ids": [151_329, 151_336, 151_338]},  # without them generation runs on past the answer
    fim=FimFormat(
        frame=_frame,
        markers=(*_CODE_MARKS, "<|user|>", "<|assistant|>", "<|system|>", "<|observation|>"),
        # From <|endoftext|> to <|end_of_video|>: all the special tokens of the vocabulary that it shares with GLM-4.
        stop_token_ids=tuple(range(151_329, 151_343)),
        stops=_CODE_MARKS,  # its own, whose ids are not published apart from its files
        fields={"add_special_tokens": False},
    ),
    # GLM-4-9B's config.json, which it is made from.
    architecture=Architecture(40, 4096, 32, 2, 128, 13_696, 151_552, qkv_bias=True),
    serving=Serving(tool_parser="codegeex4", tool_parser_plugin=True),
)

# A base model: it completes text. Its documentation knows no chat and no infilling, and recommends that a prompt begin
# with a comment that names the language ("# language: Python"), which is the client's to write. Texts that look like
# special tokens are none to ChatGLM2's tokenizer, which puts its own two in front by itself.
CODEGEEX2 = Model(
    name="codegeex2-6b",
    family="codegeex",
    hub_id="zai-org/codegeex2-6b",
    native_window=8_192,
    pool_window=8_192,
    chat_template=None,
    special_tokens=(),
    expansion=None,  # SentencePiece: whether it normalises is not published
    bytes_per_token=3.5,
    architecture=Architecture(28, 4096, 32, 2, 128, 13_696, 65_024, qkv_bias=True),  # its config.json
)

MODELS = (CODEGEEX4, CODEGEEX2)
