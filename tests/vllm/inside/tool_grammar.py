"""Asks the grammar that vLLM makes of a request whether it lets a model write some texts. Runs in vLLM's Python.

In: the plugin's path as argument, and on stdin a JSON list of cases ``{"body": ..., "texts": [...]}`` with the fields
of chat requests. Out: one JSON line a case: a list of booleans, or null if the answer is free.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser import ParserManager
from vllm.tool_parsers.abstract_tool_parser import ToolParserManager
from xgrammar import Grammar
from xgrammar.testing import _is_grammar_accept_string


def allowed(parser_class: Any, body: dict[str, Any], texts: list[str]) -> list[bool] | None:
    request = ChatCompletionRequest.model_validate({"model": "m", "messages": [], **body})
    wanted = parser_class(None, request.tools).adjust_request(request).structured_outputs
    if wanted is None:
        return None
    grammar = Grammar.from_structural_tag(wanted.structural_tag)
    return [_is_grammar_accept_string(grammar, text) for text in texts]


def main() -> None:
    ToolParserManager.import_tool_parser(sys.argv[1])
    parser_class = ParserManager.get_parser(tool_parser_name="codegeex4", enable_auto_tools=True)
    for case in json.load(sys.stdin):
        print(json.dumps(allowed(parser_class, case["body"], case["texts"])))


main()
