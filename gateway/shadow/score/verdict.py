"""What scoring says of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NOT_RUN = "none"
"""The level of a verdict for which nothing was run."""


class Says(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    TIMEOUT = "timeout"
    ERROR = "error"
    """Our own fault, or a library that is missing: not in rates, but counted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`level` is how it was checked, such as "bubblewrap/separate". `seconds`: wall clock of the run that decided.

    `reason` may quote the sample's own words: untrusted, at most 500 characters. `program`: the digest of what was run.
    """

    task_id: str
    says: Says
    level: str
    seconds: float
    reason: str
    program: str
