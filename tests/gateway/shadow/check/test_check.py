"""What both ways of checking report, and that the files which candidate and tests share never become code."""

from __future__ import annotations

from tests.gateway.shadow.check.runs import check, passed

_CANDIDATE = """
import os, pathlib, pickle
class Evil:
    def __reduce__(self): return exec, ("import unittest; unittest.TestCase.assertEqual = print",)
def f():
    for folder in (".", os.environ["HOME"], "/tmp"):
        try: pathlib.Path(folder, "planted_by_candidate.py").write_text("planted = True")
        except OSError: pass
    pathlib.Path("data.pickle").write_bytes(pickle.dumps(Evil()))
"""
_TESTS = """
import pickle, unittest
class TestCases(unittest.TestCase):
    def test_module(self):
        f()
        with self.assertRaises(ModuleNotFoundError):
            import planted_by_candidate
    def test_pickle(self):
        f()
        with self.assertRaises(PermissionError), open("data.pickle", "rb") as file:
            pickle.load(file)
    def test_pickle_of_values(self):
        self.assertEqual(pickle.loads(pickle.dumps([1, {"a": (2.5, b"x")}])), [1, {"a": (2.5, b"x")}])
"""


def test_no_code_from_files() -> None:
    names = ["test_module", "test_pickle", "test_pickle_of_values"]
    lines = check("separate", _CANDIDATE, {"prelude": "", "tests": _TESTS, "entry_point": "f", "names": names})
    assert passed(lines, names), lines


def test_tests_end_when_the_candidate_hangs_up() -> None:
    program = "import os\ndef f():\n    os.closerange(3, 256)\n    while True: pass\n"
    tests = "import unittest\nclass TestCases(unittest.TestCase):\n    def test_it(self):\n        f()\n"
    lines = check("separate", program, {"prelude": "", "tests": tests, "entry_point": "f", "names": ["test_it"]})
    assert [line.get("outcome") for line in lines] == ["error", None]
    assert lines[-1] == {"end": True}


def test_what_a_program_lacks_is_named() -> None:
    tests = "import unittest\nclass TestCases(unittest.TestCase):\n    def test_it(self):\n        f()\n"
    task = {"prelude": "", "tests": tests, "entry_point": "f", "names": ["test_it"]}
    for kind in ("separate", "in-process"):
        (line,) = check(kind, "import no_such_library.part\ndef f(): pass\n", task)
        assert (line["load"], line["missing"]) == ("candidate", "no_such_library")
        (line,) = check(kind, "def f(): pass\n", task | {"tests": "import no_such_library\n" + tests})
        assert line["missing"] == "no_such_library"
        assert line["load"] == "tests"


def test_fixtures_of_classes_and_expected_failures() -> None:
    tests = """
import unittest
class TestCases(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.made = f(1)
    @classmethod
    def tearDownClass(cls): f(0)
    @unittest.expectedFailure
    def test_expected(self): self.assertEqual(self.made, 2)
    @unittest.skip("not here")
    def test_skipped(self): pass
    def test_two(self): self.assertEqual(self.made, 1)
"""
    names = ["test_expected", "test_two"]
    task = {"prelude": "", "tests": tests, "entry_point": "f", "names": names}
    for kind in ("separate", "in-process"):
        lines = check(kind, "def f(n): return n\n", task)
        assert [line.get("outcome") for line in lines] == ["pass", "pass", None]
        # What fails when the class is torn down is laid on its last test.
        lines = check(kind, "def f(n): return 1 / n and n\n", task)
        assert [line.get("outcome") for line in lines] == ["pass", "error", None]
        lines = check(kind, "def f(n): raise KeyError\n", task)
        assert [line.get("outcome") for line in lines] == ["error", None]


def test_the_first_test_that_does_not_pass_ends_it() -> None:
    tests = """
import unittest
class TestCases(unittest.TestCase):
    def test_a(self): self.assertEqual(f(1), 1)
    @unittest.skip("not here")
    def test_b(self): pass
    def test_c(self): self.assertEqual(f(2), 1)
    def test_d(self):
        while True: pass
"""
    task = {"prelude": "", "tests": tests, "entry_point": "f"}
    for kind in ("separate", "in-process"):
        skipped = check(kind, "def f(n): return n\n", task | {"names": ["test_a", "test_b", "test_d"]})
        assert [line.get("outcome") for line in skipped] == ["pass", "skip", None]
        failed = check(kind, "def f(n): return n\n", task | {"names": ["test_a", "test_c", "test_d"]})
        assert [line.get("outcome") for line in failed] == ["pass", "fail", None]
