"""IQuest-Coder: everything that is particular to the family. Loop answers the long, multi-file prompts."""

from __future__ import annotations

from gateway.families.base import Model

# ChatML. The default system prompt is the one that the recorded token ids of the real tokenizer spell out; tool calls
# are marked as the `hermes` tool parser expects them.
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

LOOP_INSTRUCT = Model(
    name="iquest-coder-v1-40b-loop-instruct",
    family="iquest",
    hub_id="IQuestLab/IQuest-Coder-V1-40B-Loop-Instruct",
    native_window=131_072,
    pool_window=131_072,
    chat_template=_CHAT_TEMPLATE,
    special_tokens=(
        *("<unk>", "<s>", "</s>", "<CLS>", "<SEP>", "<EOD>", "<MASK>", "<PAD>", "<|im_start|>", "<|im_end|>"),
        *("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>"),
    ),
    expansion=None,  # SentencePiece with a custom class: whether it normalises is not published
    bytes_per_token=4.2,
    defaults={"temperature": 0.6, "top_p": 0.85, "top_k": 20},
)

MODELS = (LOOP_INSTRUCT,)
