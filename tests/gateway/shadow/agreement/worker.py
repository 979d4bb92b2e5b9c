"""Judges programs with the official harness; run by a Python that has bigcodebench 0.2.5, and imports nothing of ours.

``python worker.py PROGRAMS.jsonl WORKERS [MODULE ...]``: a line ``{"id", "program", "test", "entry_point"}`` in, a line
``{"id", "verdict", "seconds", "details"}`` on stdout, as each is done. What its ``evaluate --execution local`` does by
default: a pool of processes that call ``untrusted_check``, which starts a process a program. Modules are imported
before the pool is made, which saves each program seconds; by default, as there, none is.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from bigcodebench.eval import untrusted_check

_ADDRESS_SPACE = _DATA = 30 * 1024  # MB; like all numbers here, `evaluate`'s defaults
_STACK = 10
_LEAST_SECONDS = 1
_SECONDS_OF_CANONICAL = 20  # where it is not known; it would have to exceed 240 to matter
_DETAILS = 600


def check(line):
    job = json.loads(line)
    start = time.monotonic()
    verdict, details = untrusted_check(
        job["program"],
        job["test"],
        job["entry_point"],
        _ADDRESS_SPACE,
        _DATA,
        _STACK,
        _LEAST_SECONDS,
        _SECONDS_OF_CANONICAL,
    )
    seconds = round(time.monotonic() - start, 3)
    reasons = {test: reason[-_DETAILS:] for test, reason in details.items()}
    return {"id": job["id"], "verdict": verdict, "seconds": seconds, "details": reasons}


def main():
    programs, workers, *modules = sys.argv[1:]
    # The harness prints, and so may what it runs: what we say keeps a descriptor of its own.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.set_inheritable(out.fileno(), False)
        os.dup2(2, 1)
        # matplotlib's fonts cache is there on a machine in use; made in another process, so that workers start bare.
        subprocess.run([sys.executable, "-c", "import matplotlib.pyplot"], check=True)
        for module in modules:
            importlib.import_module(module)
        with open(programs, encoding="utf-8") as lines, ProcessPoolExecutor(max_workers=int(workers)) as pool:
            for future in as_completed([pool.submit(check, line) for line in lines]):
                out.write(json.dumps(future.result()) + "\n")
                out.flush()


if __name__ == "__main__":
    main()
