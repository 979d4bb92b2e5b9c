"""The tables. What changes here needs a migration beside it in `migrations/versions` (a test compares the two)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

_MOST = 2**31 - 1


class Words(TypeDecorator[str]):
    """Text of which nothing hinges on the last character: PostgreSQL stores no NUL, and UTF-8 no lone surrogate."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return (
            None
            if value is None
            else value.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
        )


class Verbatim(TypeDecorator[str]):
    """Any string at all, and the same one back."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.encode(errors="surrogatepass")

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else bytes(value).decode(errors="surrogatepass")


class Tokens(TypeDecorator[int]):
    """A count that a model server told: one that is no number of tokens must not stop the rest from being stored."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        return None if value is None else min(max(value, 0), _MOST)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _words(name: str) -> Column[str]:
    return Column(name, Words, nullable=False)


served = Table(
    "served",
    metadata,
    Column("id", Words, primary_key=True),  # the digest of the others
    _words("family"),
    _words("model"),
    _words("revision"),
    _words("engine"),
    _words("quantisation"),
    _words("template"),
    _words("sampling"),
)

samples = Table(
    "samples",
    metadata,
    Column("id", Words, primary_key=True),
    Column("at", Double, nullable=False),
    _words("kind"),
    _words("suite"),
    _words("task_id"),
    _words("form"),
    Column("prompt_tokens", Tokens, nullable=False),
    Column("propensity", Double, nullable=False),
    _words("sampling"),
    Column("target_tokens", Tokens),
    Column("score", Double, nullable=False),
    _words("alike"),  # a JSON array
    _words("request_id"),
    _words("key"),
    Column("control", Boolean),
    Column("first_id", Words, ForeignKey("served.id")),
    Column("second_id", Words, ForeignKey("served.id")),
    Column("prompt", Verbatim),
    CheckConstraint("(control IS NULL) = (first_id IS NULL) AND (control IS NULL) = (second_id IS NULL)", "control"),
    Index(None, "at", "id"),
    Index(None, "key"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Words, primary_key=True),
    Column("sample_id", Words, ForeignKey("samples.id", ondelete="CASCADE"), nullable=False),
    Column("at", Double, nullable=False),  # the sample's, so that the oldest are found by one index
    _words("side"),
    _words("role"),
    Column("served_id", Words, ForeignKey("served.id"), nullable=False),
    _words("state"),
    Column("finish_reason", Words),
    Column("tokens_in", Tokens, nullable=False),
    Column("tokens_out", Tokens, nullable=False),
    Column("redacted", Boolean, nullable=False),
    Column("answer", Verbatim),
    Column("worker", Words),
    Column("expires", Double),
    Column("attempts", Integer, nullable=False, default=0),
    Index(None, "sample_id"),
    Index(None, "state", "at"),
)

scores = Table(
    "scores",
    metadata,
    Column("run_id", Words, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _words("says"),
    _words("level"),
    Column("seconds", Double, nullable=False),
    _words("program"),
    _words("environment"),
    Column("at", Double, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("source", Words, primary_key=True),
    Column("day", Words, primary_key=True),
    Column("counter", Words, primary_key=True),
    Column("model", Words, primary_key=True),
    Column("reason", Words, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

gaps = Table(
    "gaps",
    metadata,
    Column("source", Words, primary_key=True),
    Column("since", Double, primary_key=True),
    _words("why"),
    Column("until", Double),
)
