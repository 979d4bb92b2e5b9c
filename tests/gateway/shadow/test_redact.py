"""What is cut, what is not, and that no text can make it slow, longer or different the second time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shadow import redact as module
from gateway.shadow.redact import MARK, Rule, redact

# Put together here, so that scanners of this repository find nothing.
R20, R36, HEX = "Ab3dEf6hIj9lMn2pQr5t", "Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4fGh7j", "0123456789abcdef"
PEM = "-----{} {}PRIVATE KEY-----"
BODY = "\n".join([R36 + R20] * 3)
JWT = f"eyJ{R20}.eyJ{R36}.{R36}"
TOKENS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + R36,
    "github_pat_" + R36,
    "glpat-" + R20,
    "xoxb-" + R20,
    "sk-" + R20,
    "sk-proj-" + R36 + "-" + R36,
    "sk-ant-api03-" + R36,
    "sk-ys-" + R36,
    "AIza" + R36[:35],
    "ya29." + R36,
    "hf_" + R36,
    "sk_live_" + R20,
    "npm_" + R36,
    "dapi" + HEX * 2,
    "SG." + R20 + "." + R36,
    JWT,
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "my key is {}.", "KEY={}", 'f("{}")', "a\\n{}\\n", "{},{}", "`{}`", "é{}é"])
def test_tokens_of_known_forms(token: str, around: str) -> None:
    assert redact(around.replace("{}", token)) == around.replace("{}", MARK)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:pa55@host/db", "postgresql://me:[redacted]@host/db"),
        ("redis://:pa55@host", "redis://:[redacted]@host"),
        ("https://u:p@ss@host/x", "https://u:[redacted]@host/x"),
        (f"Authorization: Bearer {R20}", "Authorization: Bearer [redacted]"),
        ("-H 'authorization: Basic dXNlcjpwYXNz'", "-H 'authorization: Basic [redacted]'"),
        (f"https://hooks.slack.com/services/T0/B0/{R20}", "https://hooks.slack.com/services/[redacted]"),
        (f"https://discord.com/api/webhooks/123456/{R36}", "https://discord.com/api/webhooks/[redacted]"),
        ('password = "hunter2"', 'password = "[redacted]"'),
        ("DB_PASSWORD='abc'", "DB_PASSWORD='[redacted]'"),
        ('password: str = "hunter"', 'password: str = "[redacted]"'),
        ('{"password": "hunter2", "user": "me"}', '{"password": "[redacted]", "user": "me"}'),
        (r"{\"api_key\": \"abcdefgh\"}", r"{\"api_key\": \"[redacted]\"}"),
        ('os.environ["SECRET_KEY"] = "not-so-secret"', 'os.environ["SECRET_KEY"] = "[redacted]"'),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPx==\n", "AWS_SECRET_ACCESS_KEY=[redacted]\n"),
        ("password: hunter2\nuser: me", "password: [redacted]\nuser: me"),
        ("GET /x?token=abc123def&y=1", "GET /x?token=[redacted]&y=1"),
        ("AccountKey=abc123abc123==;End", "AccountKey=[redacted];End"),
        (f"{PEM.format('BEGIN', '')}\n{BODY}\n{PEM.format('END', '')} and more", "[redacted] and more"),
        (f'"{PEM.format("BEGIN", "RSA ")}\\nProc-Type: 4\\n{R36}\\n{PEM.format("END", "RSA ")}\\n"', r'"[redacted]\n"'),
        (f"{PEM.format('BEGIN', 'OPENSSH ')}\n{BODY}\nwas cut", "[redacted]\nwas cut"),
    ],
)
def test_secrets_in_their_places(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert redact(f"before {text}") == f"before {expected}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def f(password: str, token=None): return password == token",
        "password = getpass('Password: ') or input(\"Password: \")",
        "password = os.environ['PASSWORD']; token = tokens[i + 1]",
        'url = f"postgresql://{user}:{password}@{host}/db"; p = "${PASSWORD}"; pwd = "<your password>"',
        "http://localhost:8080/a@b http://[::1]:80/ https://user@host/x",
        "the bearer of bad news; bearer authentication; basic understanding",
        "sk-learn and sk-image, AKIA, eyJhbGciOi, task-abcdefghijklmnopqrstuvwxyz",
        "max_token=100000 token: string password: required",
        "pad_token = '[PAD]'; eos_token='</s>'; unk = tokens['<|endoftext|>']",
        "print('password: ' + password + 'x')",
        "me@example.com",
        f"{PEM.format('BEGIN', '').replace('PRIVATE', 'PUBLIC')}\n{BODY}",
        "x = '" + HEX * 4 + "'",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_addresses_only_if_asked() -> None:
    assert redact("<a.b+c@example.co.uk>, x@y", emails=True) == "<[redacted]>, x@y"


def test_what_everyone_knows_is_no_secret() -> None:
    task = "Log in as 'dlpuser' with password='rNrKYTX9g7z3RgJRmxWuGHbeu'"
    answer = "ftp.login(user, password='rNrKYTX9g7z3RgJRmxWuGHbeu'); password='mine'"
    assert redact(answer, public=task) == answer.replace("mine", MARK)


def test_an_end_far_away_is_another_keys() -> None:
    text = f"{PEM.format('BEGIN', '')}{' a' * module.LONGEST_KEY}{PEM.format('END', '')}"
    assert redact(text) == text.replace(PEM.format("BEGIN", ""), MARK)


PIECES = [
    *TOKENS,
    *(beginning for token in TOKENS for beginning in (token[:4], token[:9])),
    *("://", "://u:", "@", "@host", ":", " ", "=", '"', "'", "\\", "\\n", "\n", "-", "_", ".", "/", "]", "[", MARK),
    *(
        "password",
        "pwd",
        "token",
        "api_key",
        "secret",
        "Bearer ",
        "authorization: ",
        "basic ",
        "a",
        "7",
        R20,
        R36,
        "hunter2",
    ),
    *(
        PEM.format("BEGIN", ""),
        PEM.format("END", ""),
        "-----BEGIN ",
        "PRIVATE KEY",
        "-----",
        "hooks.slack.com/services/",
    ),
    *("a.b@c.de", "é", "ſ", "\ud800", "\0"),
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join), st.text())


@given(TEXTS, st.booleans(), st.just("") | TEXTS)
@settings(max_examples=400, deadline=None)
def test_of_any_text(text: str, emails: bool, public: str) -> None:
    once = redact(text, emails=emails, public=public)
    assert redact(once, emails=emails, public=public) == once
    assert len(once) <= 3 * len(text)


RULES = (*module._RULES, module._EMAIL)
PATTERNS = [rule.pattern for rule in RULES] + [module._BEGIN, module._END, module._BODY]


def repeats(parsed: Any) -> Iterator[tuple[bool, int]]:
    """Of each repeat, whether it may give back what it took, and how many it may take."""
    for operation, argument in parsed:
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
            least, most, inner = argument
            yield operation is not _constants.POSSESSIVE_REPEAT and least != most, int(most)
            yield from repeats(inner)
        elif operation is _constants.SUBPATTERN:
            yield from repeats(argument[3])
        elif operation is _constants.BRANCH:
            for branch in argument[1]:
                yield from repeats(branch)
        elif operation in (_constants.ASSERT, _constants.ASSERT_NOT):
            yield from repeats(argument[1])


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.pattern[:40])
def test_no_repeat_gives_back_much(pattern: re.Pattern[str]) -> None:
    """So a rule that fails has read no character of its text more than a few times."""
    assert all(most <= 40 for gives_back, most in repeats(_parser.parse(pattern.pattern, pattern.flags)) if gives_back)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern.pattern[:40])
def test_needles_are_needed(rule: Rule) -> None:
    assert rule.needle.replace(".", r"\.") in rule.pattern.pattern.replace(r"\-", "-")
