"""The coverage-guided fuzzer, on one target: ``python -m tests.fuzz.run request -max_total_time=20 FOLDER...``

`make fuzz` runs each target for FUZZ_SECONDS. An input that fails is written to ``.fuzz`` as ``crash-...``:
put it into ``seeds/<target>`` under a name that says what it is, and `make test` keeps it from coming back.
"""

from __future__ import annotations

import asyncio
import sys

import atheris

with atheris.instrument_imports(include=["gateway", "tests.fuzz"]):
    from tests.fuzz.targets import TARGETS, Input


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    loop = asyncio.new_event_loop()
    atheris.Setup(sys.argv, lambda raw: target(Input(raw), loop))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
