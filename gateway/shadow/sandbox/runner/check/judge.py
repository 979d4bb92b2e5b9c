"""The judging process of a check in one process: it never runs hostile code, and hands on what holds up.

It keeps the tests until the candidate's program was run, mixes tests that must fail among them, and ends the check at
the first test that does not pass, or the first line that can't be true.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .controls import Controls

_MOST_BYTES = 4 * 2**20
_OUTCOMES = ("pass", "fail", "error", "skip")

Report = Callable[[dict[str, Any]], None]


class Forged(Exception):
    """Why the other process's lines can't be what its tests said."""


def judge(link: socket.socket, task: Mapping[str, Any], report: Report) -> None:
    """Report what the process at the other end of the link finds out, or why that is not to be trusted."""
    controls = Controls(task["names"])
    token = secrets.token_hex(16)
    lines = _lines(link)
    try:
        first = next(lines, None)
        if first is None:
            return
        if set(first) != {"loaded"}:
            _report_load(first, report)
            return
        paper = {
            "token": token,
            "tests": task["tests"],
            "entry_point": task["entry_point"],
            "controls": controls.source(),
            "order": controls.order,
        }
        link.sendall(json.dumps(paper).encode() + b"\n")
        _hear(lines, token, controls, report)
    except Forged as error:
        report({"forged": str(error)[:2000]})
    except OSError:
        return


def _report_load(line: dict[str, Any], report: Report) -> None:
    if set(line) - {"load", "reason", "missing"} or line.get("load") not in ("candidate", "tests"):
        raise Forged("a line before the tests that is none of ours")
    if any(type(value) is not str for value in line.values()):
        raise Forged("a line before the tests that is none of ours")
    report({key: value[:2000] for key, value in line.items()})


def _hear(lines: Iterator[dict[str, Any]], token: str, controls: Controls, report: Report) -> None:
    """Lines of the tests in their order; of a test that fails the first line decides, which comes before it is over."""
    order = iter(controls.order)
    expected = next(order, None)
    failing = False
    for line in lines:
        if line.pop("token", None) != token:
            raise Forged("a line without the token")
        if "load" in line or "forged" in line:
            if "forged" in line:
                raise Forged(str(line["forged"]))
            _report_load(line, report)
            return
        if line == {"end": True}:
            if expected is not None:
                raise Forged("an end before the last test")
            report({"end": True})
            return
        outcome = _outcome(line, expected)
        is_over = not line.get("so_far")
        if expected in controls.names:
            failing = failing or outcome["outcome"] in ("fail", "error")
            if is_over and not failing:
                raise Forged("a test that must fail did not")
        elif outcome["outcome"] != "pass":
            report({"test": expected, **outcome})
            report({"end": True})
            return
        elif is_over:
            report({"test": expected, **outcome})
        if is_over:
            expected, failing = next(order, None), False


def _outcome(line: dict[str, Any], expected: str | None) -> dict[str, str]:
    if expected is None or line.get("test") != expected:
        raise Forged("a test out of turn")
    if line.get("outcome") not in _OUTCOMES or type(line.get("reason")) is not str:
        raise Forged("no outcome")
    return {"outcome": line["outcome"], "reason": line["reason"][:2000]}


def _lines(link: socket.socket) -> Iterator[dict[str, Any]]:
    data, total = b"", 0
    while True:
        piece = link.recv(2**16)
        total += len(piece)
        if total > _MOST_BYTES:
            raise Forged("too many lines")
        if not piece:
            if data:
                raise Forged("a line that is cut short")
            return
        *whole, data = (data + piece).split(b"\n")
        for text in whole:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                raise Forged("a line that is no JSON") from None
            if type(line) is not dict:
                raise Forged("a line that is no object")
            yield line
