"""Answers with function calls in CodeGeeX4's form, or nearly so, and what is to be read in them."""

from __future__ import annotations

import json
import random

NAMES = ["weather", "Cooking/queryDish", "weather_of_week", 'odd"näme']


def block(*lines: str) -> str:
    return "\n".join(("```json", *lines, "```"))


def call(name: str, arguments: str) -> str:
    return block(f'{{"name": {json.dumps(name)}, "arguments": {arguments}}}')


BEIJING = ["weather", '{"location": "Beijing"}']
CALL = call(*BEIJING)
FENCED = {"code": 'print("```")\n```json\n{"name": "weather", "arguments": {"a": 1}}\n```\n'}
OTHER_JSON = block('{"name": "Alice", "age": 3}')
DEEP = '{"a":' * 3000 + "1" + "}" * 3000

# Text, content, calls. The text of None is the content.
READ: dict[str, tuple[str, str | None, list[list[str]]]] = {
    "one": (CALL, "", [BEIJING]),
    "a name with a slash": (call("Cooking/queryDish", "{}"), "", [["Cooking/queryDish", "{}"]]),
    "a name that JSON escapes": (block('{"name": "odd\\"näme", "arguments": {}}'), "", [['odd"näme', "{}"]]),
    "a name that begins like another": (call("weather_of_week", "{}"), "", [["weather_of_week", "{}"]]),
    "text in front": (f"Let me see.\n\n{CALL}", "Let me see.", [BEIJING]),
    "text behind": (f"{CALL}\n\nThat is all.", "That is all.", [BEIJING]),
    "text around": (f"One\n{CALL}\nTwo", "One\n\nTwo", [BEIJING]),
    "in the middle of a line": (f"so {CALL} there", "so  there", [BEIJING]),
    "white space around": (f"\n \n{CALL}\n\n", "", [BEIJING]),
    "two": (f"{CALL}\n{call('weather', '{}')}", "", [BEIJING, ["weather", "{}"]]),
    "three with nothing between": (CALL * 3, "", [BEIJING] * 3),
    "on one line": ('```json{"name":"weather","arguments":{}}```', "", [["weather", "{}"]]),
    "indented": (
        block("{", '    "name": "weather",', '    "arguments": {', '        "x": 1', "    }", "}"),
        "",
        [["weather", '{\n        "x": 1\n    }']],
    ),
    "fences, braces and escapes in a text": (
        call("weather", json.dumps(FENCED | {"b": '\\"}{][', "ü": "\\\\"})),
        "",
        [["weather", json.dumps(FENCED | {"b": '\\"}{][', "ü": "\\\\"})]],
    ),
    "all kinds of values": (
        call("weather", '{"a": [1, -2.5e3, {"b": null}], "c": true, "d": {}, "e": []}'),
        "",
        [["weather", '{"a": [1, -2.5e3, {"b": null}], "c": true, "d": {}, "e": []}']],
    ),
    "raw line ends in a text": (
        call("weather", '{"code": "a\n\tb\\\nc\x01"}'),
        "",
        [["weather", '{"code": "a\\n\\tb\\\\\\nc\\u0001"}']],
    ),
    "no fence behind": (CALL.removesuffix("\n```"), "", [BEIJING]),
    "half a fence behind": (CALL.removesuffix("`"), "", [BEIJING]),
    "no brace behind": (CALL.removesuffix("}\n```"), "", [BEIJING]),
    "more fields behind the arguments": (
        block('{"name": "weather", "arguments": {}, "id": 1}'),
        ', "id": 1}\n```',
        [["weather", "{}"]],
    ),
    "a list": (block(f"[{CALL[8:-4]}, {CALL[8:-4]}]"), "", [BEIJING, BEIJING]),
    "arguments first": (block('{"arguments": {"location": "Beijing"}, "name": "weather"}'), "", [BEIJING]),
    "single quotes": (
        block("{'name': 'weather', 'arguments': {'location': 'Beijing', 'days': (1, None)}}"),
        "",
        [["weather", '{"location": "Beijing", "days": [1, null]}']],
    ),
    "an unknown function": (call("nope", "{}"), None, []),
    "an unknown one beside a known one": (f"{call('nope', '{}')}\n{CALL}", call("nope", "{}"), [BEIJING]),
    "a known one beside an unknown one": (f"{CALL}\n{call('nope', '{}')}\n", call("nope", "{}"), [BEIJING]),
    "an unknown one in a list": (block(f'[{CALL[8:-4]}, {{"name": "nope", "arguments": {{}}}}]'), None, []),
    "a name that goes on": (call("weather2", "{}"), None, []),
    "an ordinary block": (f"Here:\n\n{OTHER_JSON}\n", None, []),
    "an ordinary block, and a call": (f"{OTHER_JSON}\n{CALL}", OTHER_JSON, [BEIJING]),
    "an ordinary list": (block("[", "  {", '    "name": "x"', "  }", "]") + " \n", None, []),
    "an empty list": (block("[]"), None, []),
    "an empty block": (block(), None, []),
    "no JSON": (block("{'name': 'weather', 'arguments': {'a': b}}"), None, []),
    "not JSON's values": (block('[{"name": "weather", "arguments": {"a": NaN}}]'), None, []),
    "half a character": (block('[{"name": "weather", "arguments": {"a": "\\ud800"}}]'), None, []),
    "arguments that are no object": (
        call("weather", '"{}"') + call("weather", "null") + call("weather", "[]"),
        None,
        [],
    ),
    "a text in single quotes": (call("weather", "{'a': 1}"), None, []),
    "parameters": (block('{"name": "weather", "parameters": {}}'), None, []),
    "other languages": (f"```python\nx = {{}}\n```\n\n```jsonc\n{CALL[8:]}\n```JSON\n{{}}\n```", None, []),
    "no fence": ('{"name": "weather", "arguments": {}}', None, []),
    "ordinary text": ("  Two\n\n  spaces,\ttabs ``and`` `ticks` ```\n\n\n", None, []),
    "white space": ("\n \n", None, []),
    "nothing": ("", None, []),
    "fences only": ("```json" * 9 + "``", None, []),
    "white space without end": ("```json" + " " * 500 + '{"name"', None, []),
    "an odd block that is too long": (block("[{'name': 'weather', 'x': '" + "y" * 40_000 + "'}]"), None, []),
    "what Python cannot nest": (block("[{'name': " + "(" * 5_000), None, []),
    "what JSON cannot nest": (block('[{"name": ' + "[" * 5_000 + "]" * 5_000 + "}]"), None, []),
}
OPEN = '```json\n{"name": "weather", "arguments": '
BEGUN = OPEN + '{"loc'
BROKEN = call("weather", '{"a": 1,, b}')
# What the stream has: text, content, calls. A whole answer's content keeps what is no sound call: that is last.
UNSOUND: dict[str, tuple[str, str, list[list[str]], str]] = {
    "cut off in a text": (f"Hm.\n{CALL}\n{BEGUN}", "Hm.", [BEIJING, ["weather", '{"loc']], f"Hm.\n\n{BEGUN}"),
    "cut off in an escape": (OPEN + '{"a": "\\', "", [["weather", '{"a": "\\']], OPEN + '{"a": "\\'),
    "cut off in a nest": (OPEN + DEEP[:9000], "", [["weather", DEEP[:9000]]], OPEN + DEEP[:9000]),
    "nested too deeply": (call("weather", DEEP), "", [["weather", DEEP]], call("weather", DEEP)),
    "broken": (f"{BROKEN}\nOh.\n{CALL}", "Oh.", [["weather", '{"a": 1,, b}'], BEIJING], f"{BROKEN}\nOh."),
    "brackets of two kinds": (OPEN + '{"a": 1]}', "", [["weather", '{"a": 1]']], OPEN + '{"a": 1]}'),
}
FRAGMENTS = [
    *(
        "```json\n",
        "```",
        "`",
        "json",
        "\n",
        "  ",
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        ",",
        ":",
        "\\",
        "\x00",
        "é",
        "𝄞",
        "\ufffd",
    ),
    *(
        '"name": ',
        '"arguments": ',
        '"weather"',
        "'name': 'weather'",
        '{"name": "weather", "arguments": ',
        '{"a": "',
        "x",
    ),
    *(CALL, call("weather", '{"a": "```"}'), call("nope", "{}"), OTHER_JSON, CALL[:-5], CALL[:40], CALL[20:]),
]


def made_up(count: int) -> list[str]:
    chance = random.Random(4)
    return ["".join(chance.choices(FRAGMENTS, k=chance.randint(1, 14))) for _ in range(count)]
