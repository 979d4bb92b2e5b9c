"""CodeGeeX: everything that is particular to the family. CodeGeeX4 answers the short prompts."""

from __future__ import annotations

from gateway.families.base import Model

# Turns have no end mark; the end of an answer is the next turn's mark, hence the stop ids below. The model's own
# function format is a `tool` turn that carries {"function": [...]}, answered in JSON blocks.
_CHAT_TEMPLATE = """\
{{- '[gMASK]<sop>' }}
{%- if tools %}
{{- '<|tool|>\\n{"function": [' }}
{%- for tool in tools %}
{{- tool.function | tojson if tool.function else tool | tojson }}{{- ', ' if not loop.last }}
{%- endfor %}
{{- ']}' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|observation|>\\n' + message.content }}
{%- else %}
{{- '<|' + ('system' if message.role == 'developer' else message.role) + '|>\\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '\\n```json\\n{"name": ' }}{{- call.function.name | tojson }}
{{- ', "arguments": ' }}{{- call.function.arguments | tojson }}{{- '}\\n```' }}
{%- endfor %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|assistant|>\\n' }}
{%- endif %}
"""

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
)

MODELS = (CODEGEEX4,)
