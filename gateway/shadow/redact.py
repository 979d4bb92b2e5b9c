"""Secrets out of text, before it is stored anywhere.

**This is no guarantee.** Known forms are found: keys with a well-known beginning, private key blocks, JWTs, bearer
tokens, passwords in URLs, and what is assigned to something called a password, a token or a key. A secret of no known
form, or one that is spelled out or split, stays. What must not be stored should not be sampled.

Takes time in proportion to the text, however hostile that is: repeats never give back what they took (they are
possessive, or at most 40 long), and a rule can start only where it would not read again what it has read before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MARK = "[redacted]"
"""What stands for a secret. It can be no part of one."""

LONGEST_KEY = 32_768
"""Characters of a private key block; what has no end within them was cut, and goes as far as it looks like one."""


def redact(text: str, *, emails: bool = False, public: str = "") -> str:
    """The text with MARK for each secret; the same as it was if none is found, at most three times as long otherwise.

    Never raises, and changes nothing more if asked again. `public`: text that everyone knows, such as a task's prompt.
    What looks like a secret in there is none: a program whose task tells it a password is then left as it is.
    """
    text = _without_key_blocks(text)
    rules = (*_RULES, _EMAIL) if emails else _RULES
    for rule in rules:
        if rule.needle in text:
            known = frozenset(rule.found(public)) if public else frozenset()
            text = rule.cut(text, known)
    return text


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern` has a group `secret`; the rest of what it matches stays. `needle`: without it, nothing can match.

    `mixed`: a secret of only letters is a word, of only digits a number, and neither is cut.
    """

    pattern: re.Pattern[str]
    needle: str = ""
    mixed: bool = False

    def found(self, text: str) -> Iterator[str]:
        return (match["secret"] for match in self.pattern.finditer(text) if self._is_secret(match["secret"]))

    def cut(self, text: str, known: frozenset[str]) -> str:
        def replaced(match: re.Match[str]) -> str:
            secret = match["secret"]
            if secret in known or not self._is_secret(secret):
                return match.group()
            (start, end), (first, last) = match.span("secret"), match.span()
            return f"{text[first:start]}{MARK}{text[end:last]}"

        return self.pattern.sub(replaced, text)

    def _is_secret(self, text: str) -> bool:
        return not self.mixed or bool(_DIGIT.search(text) and _LETTER.search(text))


_DIGIT, _LETTER = re.compile("[0-9]"), re.compile("[A-Za-z]")
_PART = "[A-Za-z0-9_-]"
"""Of a token. Where one ends or starts decides where rules may."""


def _token(beginning: str, rest: str) -> Rule:
    """A token that begins with these characters; also after an escaped line end, as in the source of a string."""
    literal = re.escape(beginning)
    starts = rf"{literal}(?:(?<!{_PART}{literal})|(?<=\\[nrt]{literal}))"
    return Rule(re.compile(f"(?P<secret>{starts}{rest})(?!{_PART})", re.ASCII), needle=beginning)


def _tokens(beginnings: str, rest: str) -> tuple[Rule, ...]:
    return tuple(_token(beginning, rest) for beginning in beginnings.split())


def _words(pattern: str, *, mixed: bool = False) -> Rule:
    return Rule(re.compile(pattern, re.ASCII | re.IGNORECASE), mixed=mixed)


# Beginnings and lengths as their issuers document them, and as gitleaks and GitHub's secret scanning have them.
_TOKENS = (
    *_tokens("AKIA ASIA ABIA ACCA", "[A-Z0-9]{16}"),  # AWS
    *_tokens("ghp_ gho_ ghu_ ghs_ ghr_", "[A-Za-z0-9]{36,}+"),
    *_tokens("github_pat_", "[A-Za-z0-9_]{22,}+"),
    *_tokens("glpat- gldt- glrt-", f"{_PART}{{20,}}+"),  # GitLab
    *_tokens("xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-", "[A-Za-z0-9-]{10,}+"),  # Slack
    *_tokens("sk-", f"{_PART}{{20,}}+"),  # OpenAI, Anthropic, OpenRouter, ours
    *_tokens("AIza", f"{_PART}{{35}}"),  # Google
    *_tokens("ya29.", f"{_PART}{{20,}}+"),
    *_tokens("GOCSPX-", f"{_PART}{{20,}}+"),
    *_tokens("hf_ gsk_ r8_ xai-", "[A-Za-z0-9]{30,}+"),  # Hugging Face, Groq, Replicate, xAI
    *_tokens("nvapi-", f"{_PART}{{40,}}+"),
    *_tokens("sk_live_ sk_test_ rk_live_ rk_test_ whsec_", "[A-Za-z0-9]{16,}+"),  # Stripe
    *_tokens("npm_", "[A-Za-z0-9]{36}"),
    *_tokens("pypi-", f"{_PART}{{50,}}+"),
    *_tokens("dop_v1_ doo_v1_ dor_v1_", "[a-f0-9]{64}"),  # DigitalOcean
    *_tokens("dapi", "[a-f0-9]{32}"),  # Databricks
    *_tokens("AGE-SECRET-KEY-1", "[A-Z0-9]{58}"),
    *_tokens("SG.", rf"{_PART}{{16,}}+\.{_PART}{{16,}}+"),  # SendGrid
    *_tokens("eyJ", rf"{_PART}{{10,}}+\.eyJ{_PART}{{4,}}+\.{_PART}*+"),  # JWT
)

_PASSWORD = "pass(?:word|wd|phrase|code)|pwd"
_KEY = "secret|token|credential|(?:api|access|account|auth|client|encryption|private|secret|signing)[_-]?key"
_IS = r"""\\?["']?\]?\s{0,3}(?:(?::\s{0,2}str\s{0,2})?=>?|:=?)\s{0,3}[bru]{0,2}\\?(?P<quote>["'])(?![$<{*%])"""
_NAMED = (
    _words(rf"""(?:{_PASSWORD})[0-9]{{0,3}}{_IS}(?P<secret>[^\s"'\\]{{3,}}+)\\?(?P=quote)"""),
    _words(rf"""(?:{_KEY})[0-9]{{0,3}}{_IS}(?P<secret>[^\s"'\\]{{8,}}+)\\?(?P=quote)"""),
    # Without quotes only where code would not stand: a value to the end, with letters and digits.
    _words(
        rf"""(?:{_PASSWORD}|{_KEY})[0-9]{{0,3}}(?:=|:[ \t]{{1,3}})"""
        r"""(?P<secret>[^\s"'`,;()\[\]{}<>&$\\=]{6,}+={0,2}+)(?![^\s,;&"'\\])""",
        mixed=True,
    ),
)

_SENT = (
    _words(rf"""(?<!{_PART})bearer[ \t]{{1,4}}(?P<secret>[A-Za-z0-9._~+/=-]{{8,}}+)""", mixed=True),
    _words(
        r"""authorization\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?(?:basic|token|apikey)[ \t]{1,4}"""
        r"""(?P<secret>[A-Za-z0-9._~+/=-]{6,}+)"""
    ),
    Rule(
        re.compile(
            r"""://[^\s/@:"'<>]*+:(?![$<{*]|%[sd(])(?P<secret>[^\s/@"'<>]++(?:@[^\s/@"'<>]++(?=@))*+)@""", re.ASCII
        ),
        needle="://",
    ),
    Rule(re.compile(r"hooks\.slack\.com/services/(?P<secret>[A-Za-z0-9_/]{20,}+)"), needle="hooks.slack.com"),
    Rule(re.compile(rf"/api/webhooks/(?P<secret>[0-9]{{5,25}}+/{_PART}{{20,}}+)"), needle="/api/webhooks/"),  # Discord
)

_RULES = (*_TOKENS, *_SENT, *_NAMED)

_LOCAL = "[A-Za-z0-9._%+-]"
_EMAIL = Rule(
    re.compile(
        rf"(?<!{_LOCAL})(?P<secret>{_LOCAL}{{1,64}}+@[A-Za-z0-9-]{{1,63}}+(?:\.[A-Za-z0-9-]{{1,63}}+){{1,8}}+)",
        re.ASCII,
    ),
    needle="@",
)

_BEGIN, _END = (re.compile(f"-----{which} [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----") for which in ("BEGIN", "END"))
_BODY = re.compile(r"""(?:(?:\s|\\[nrt])*+[A-Za-z0-9+/=]{16,}+)*+""", re.ASCII)


def _without_key_blocks(text: str) -> str:
    kept: list[str] = []
    done = 0
    end = _END.search(text)
    for begin in _BEGIN.finditer(text):
        if begin.start() < done:
            continue
        if end and end.start() < begin.end():
            end = _END.search(text, begin.end())
        kept += (text[done : begin.start()], MARK)
        if end and end.start() - begin.end() <= LONGEST_KEY:
            done = end.end()
        else:
            body = _BODY.match(text, begin.end())
            done = body.end() if body else begin.end()
    return "".join((*kept, text[done:]))
