"""The README's table has the attacks that there are, in their order."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.shadow import sandbox
from gateway.shadow.sandbox.attacks import ATTACKS


def test_the_table_names_every_attack() -> None:
    text = (Path(sandbox.__file__).parent / "README.md").read_text()
    table = text[text.index("| attack |") :].partition("\n\n")[0].splitlines()[2:]
    assert [re.split(r" *\| *", row)[1] for row in table] == [attack.name for attack in ATTACKS]
