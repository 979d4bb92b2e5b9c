"""The pinned sets themselves, without installing them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.shadow.environment.sets import FULL, LIGHT, SETS

FILES = sorted({file for each in SETS.values() for file in (*each.files, each.data) if file})


def _pins(file: Path) -> set[str]:
    return set(re.findall(r"^[a-z0-9][a-z0-9.-]*==[^ ;\\]+", file.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_pin_has_hashes_and_no_address(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "://" not in text
    assert " --index" not in text
    assert "--extra-index" not in text
    entries = [entry for entry in re.split(r"\n(?=[a-z0-9])", "\n" + text) if "==" in entry]
    assert len(entries) >= 1
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_was_asked_for_is_what_is_pinned(file: Path) -> None:
    asked = re.findall(r"^([a-z0-9.-]+==[^ ;\n]+)", file.with_suffix(".in").read_text(encoding="utf-8"), re.MULTILINE)
    pinned = {re.sub(r"\.0$", "", pin) for pin in _pins(file)}
    assert asked
    assert [pin for pin in asked if re.sub(r"\.0$", "", pin) not in pinned] == []


def test_the_full_set_holds_the_light_one_in_the_same_versions() -> None:
    light, full = _pins(LIGHT.files[0]), set().union(*map(_pins, FULL.files))
    assert light < full
    assert FULL.preload[: len(LIGHT.preload)] == LIGHT.preload


def test_digests_tell_the_sets_apart() -> None:
    assert len({each.digest for each in SETS.values()}) == len(SETS)
