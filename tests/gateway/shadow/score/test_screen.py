"""Which tests are taken to reach into the candidate's process, or to run what it leaves: by words in their source."""

from __future__ import annotations

import pytest

from gateway.shadow.score.screen import plan
from gateway.shadow.suites.task import Task


def separable(statement: str) -> bool:
    tests = f"import unittest\nclass TestCases(unittest.TestCase):\n    def test_one(self):\n        {statement}\n"
    return plan(Task("t/1", "def f():\n", "", "    return 1", "def f():", tests, "f")).separable


@pytest.mark.parametrize(
    "statement",
    [
        "from unittest.mock import patch",
        "import pickle",
        "pd.read_pickle(f())",
        "np.load(f(), allow_pickle=True)",
        "np.load(f(), allow_pickle=allowed)",
        "keras.models.load_model(f())",
        "from keras.models import load_model as read",
        "import torch.serialization",
        "runpy.run_path(f())",
        "zipimport.zipimporter(f())",
        "os.popen(f'unzip -l {f()}').read()",
        "os.system(f())",
        "import os as o; o.system(f())",
        "from os import system as run",
        "os.spawnv(os.P_WAIT, f(), [])",
        "os.posix_spawn(f(), [], {})",
        "os.execvp(f(), [])",
        "logging.config.fileConfig(f())",
        "yaml.unsafe_load(f())",
        "yaml.load(f(), Loader=yaml.Loader)",
        "import yaml as y; y.load(f(), Loader=y.CLoader)",
        "from yaml import UnsafeLoader",
        "from yaml import Loader",
    ],
)
def test_these_run_beside_the_candidate(statement: str) -> None:
    assert not separable(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "self.assertEqual(f(), 1)",
        "self.assertEqual(f(), platform.system())",
        "from platform import system",
        "system = f()",
        "np.load(f())",
        "np.load(f(), allow_pickle=False)",
        "yaml.safe_dump(f(), file)",
        "yaml.safe_load(f())",
        "yaml.load(f(), Loader=yaml.SafeLoader)",
        "f(Loader=1)",
        "jinja2.Environment(loader=Loader())",
        "json.load(open(f()))",
    ],
)
def test_these_need_not(statement: str) -> None:
    assert separable(statement)
