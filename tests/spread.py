"""Which tests run in one process, and which files come first: what `make test` takes hangs on both."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

_CONTRACT = "tests/gateway/engines/test_contract"
"""These files share servers that live as long as the session: one process starts them once."""
LONGEST = (
    "tests/deploy/test_queries.py",
    "tests/gateway/shadow/planted/test_planted.py",
    _CONTRACT,
    "tests/gateway/shadow/live/test_beside.py",
    "tests/gateway/test_demo.py",
    "tests/gateway/shadow/environment/test_setup.py",
    "tests/deploy/test_observe.py",
    "tests/gateway/cli/test_shadow_threshold.py",
    "tests/gateway/cli/test_shadow_worker.py",
    "tests/gateway/shadow/worker/test_queue.py",
    "tests/gateway/test_odd_prompts.py",
    "tests/gateway/shadow/check/test_five_checked.py",
    "tests/gateway/cli/test_shadow_score.py",
    "tests/gateway/shadow/score/test_hostile_samples.py",
    "tests/clients/test_openai.py",
    "tests/gateway/test_invariants.py",
    "tests/gateway/shadow/check/test_guard.py",
    "tests/gateway/test_odd_counts.py",
    "tests/gateway/shadow/sandbox/test_attacks.py",
    "tests/gateway/traces/test_processes.py",
    "tests/gateway/test_secrets.py",
    "tests/gateway/test_openapi_fuzz.py",
    "tests/gateway/shadow/threshold/test_measured.py",
    "tests/gateway/shadow/live/test_distributed.py",
)
"""Half a minute or more, the longest first, then a quarter in few tests: none of them is left for the end, when other
processes have nothing to do. After them comes who has the most tests."""


class LongestFirst(LoadFileScheduling):
    """Files at once, as with ``--dist loadfile``."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _CONTRACT if file.startswith(_CONTRACT) else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        for file in LONGEST:
            if file in self.workqueue:
                self.workqueue.move_to_end(file, last=False)
                break
        super()._assign_work_unit(node)
