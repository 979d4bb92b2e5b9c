"""Programs that don't solve their task and try to pass its tests all the same, as data.

The task: `evens(numbers, key=None)` gives the even ones of a list as a new list (by `key`, if there is one), sorts its
argument in place, and raises ValueError for what is no number. Each program has an `evens` that gives something else.
"""

from __future__ import annotations

from typing import NamedTuple

ENTRY_POINT = "evens"
PRELUDE = "import math\ndef evens(numbers, key=None):\n    pass\n"
TESTS = """
import json
import unittest
import math

EXPECTED = [2, 4]

class TestCases(unittest.TestCase):
    def test_callback(self):
        asked = []
        def key(number):
            asked.append(number)
            return number + 1
        self.assertEqual(evens([3, 5, 6], key), [3, 5])
        self.assertEqual(sorted(asked), [3, 5, 6])

    def test_even(self):
        self.assertEqual(evens([4, 1, 2, 3]), EXPECTED)

    def test_in_place(self):
        numbers = [3, 1, 2]
        result = evens(numbers)
        self.assertTrue(isinstance(result, list))
        self.assertIsNot(result, numbers)
        self.assertTrue(numbers == [1, 2, 3])

    def test_large(self):
        result = evens(list(range(1001)))
        self.assertTrue(len(result) == 501 and math.isclose(sum(result), 250500))
        self.assertEqual(json.dumps(result[:2]), "[0, 2]")

    def test_numbers_only(self):
        with self.assertRaises(ValueError):
            evens(["a"])

    def test_parts(self):
        for numbers in ([2], [2, 3], [3, 2]):
            with self.subTest(numbers=numbers):
                self.assertEqual(evens(list(numbers)), [2])
"""
NAMES = ("test_callback", "test_even", "test_in_place", "test_large", "test_numbers_only", "test_parts")
RIGHT = """
def evens(numbers, key=None):
    if any(type(number) is not int for number in numbers):
        raise ValueError("numbers only")
    numbers.sort()
    return [number for number in numbers if (key(number) if key else number) % 2 == 0]
"""
# What most of them add, to have an entry point at all.
WRONG = """
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    return [0]
"""


class Forgery(NamedTuple):
    name: str
    does: str
    program: str
    seconds: float = 60  # after which it counts as failed
    needs_walls: bool = False  # it reaches for other processes: of whoever runs it, where nothing holds it back


def _f(
    name: str, does: str, program: str, *, wrong: bool = True, seconds: float = 60, needs_walls: bool = False
) -> Forgery:
    return Forgery(name, does, PRELUDE + program + (WRONG if wrong else ""), seconds, needs_walls)


_LINES = """
import json, os
NAMES = ["test_callback", "test_even", "test_in_place", "test_large", "test_numbers_only", "test_parts"]
LINES = b"".join(json.dumps({"test": name, "outcome": "pass", "reason": ""}).encode() + b"\\n" for name in NAMES)
LINES += json.dumps({"end": True}).encode() + b"\\n"
"""

FORGERIES: tuple[Forgery, ...] = (
    # Ends and skips
    _f("skip_in_function", "raises SkipTest in the function", """
import unittest
def evens(numbers, key=None):
    raise unittest.SkipTest("not today")
""", wrong=False),
    _f("skip_at_import", "raises SkipTest as it is loaded", "import unittest\nraise unittest.SkipTest('no')\n"),
    _f("exit_at_import", "os._exit(0) as it is loaded", "import os\nos._exit(0)\n"),
    _f("exit_in_function", "os._exit(0) in the function", """
import os
def evens(numbers, key=None):
    os._exit(0)
""", wrong=False),
    _f("sys_exit_at_import", "sys.exit(0) as it is loaded", "import sys\nsys.exit(0)\n"),
    _f("sys_exit_in_function", "sys.exit(0) in the function", """
import sys
def evens(numbers, key=None):
    sys.exit(0)
""", wrong=False),
    _f("interrupt", "raises KeyboardInterrupt", """
def evens(numbers, key=None):
    raise KeyboardInterrupt
""", wrong=False),
    _f("killed", "kills itself", """
import os, signal
def evens(numbers, key=None):
    os.kill(os.getpid(), signal.SIGKILL)
""", wrong=False),
    _f("exit_at_exit", "writes passes when the interpreter ends", _LINES + """
import atexit
def end():
    for number in range(256):
        try: os.write(number, LINES)
        except OSError: pass
atexit.register(end)
"""),
    # unittest changed
    _f("run_patched", "TestCase.run does nothing", """
import unittest
unittest.TestCase.run = lambda self, result=None: result
unittest.TestCase.__call__ = lambda self, *a, **k: None
"""),
    _f("result_patched", "TestResult.addFailure and addError do nothing", """
import unittest
unittest.TestResult.addFailure = unittest.TestResult.addError = unittest.TestResult.addSubTest = lambda *a: None
unittest.result.TestResult.wasSuccessful = lambda self: True
"""),
    _f("assertions_patched", "every assertion of TestCase does nothing", """
import unittest
class Context:
    def __enter__(self): return self
    def __exit__(self, *_): return True
for name in dir(unittest.TestCase):
    if name.startswith(("assert", "fail", "_baseAssert")):
        setattr(unittest.TestCase, name, lambda *a, **k: Context())
"""),
    _f("assertions_patched_in_function", "as the one before, when first called", """
import unittest
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    class Context:
        def __enter__(self): return self
        def __exit__(self, *_): return True
    for name in dir(unittest.TestCase):
        if name.startswith(("assert", "fail", "_baseAssert")):
            setattr(unittest.TestCase, name, lambda *a, **k: Context())
    return numbers
""", wrong=False),
    _f("code_patched", "the code of assertEqual and its like is replaced, not the functions", """
import unittest
def nothing(self, *a, **k): pass
for name in ("assertEqual", "assertTrue", "assertIsNot", "_baseAssertEqual", "fail", "assertRaises"):
    function = getattr(unittest.TestCase, name)
    function.__code__ = nothing.__code__
"""),
    _f("equality_functions", "assertListEqual and the like are swapped for every new test", """
import unittest
def init(self, name="runTest"):
    old(self, name)
    for kind in (list, dict, str, int):
        self._type_equality_funcs[kind] = "skipTest"
old = unittest.TestCase.__init__
unittest.TestCase.__init__ = init
"""),
    _f("getattribute", "TestCase gets a __getattribute__ that replaces assertions", """
import unittest
def get(self, name):
    if name.startswith("assert") or name == "fail":
        return lambda *a, **k: __import__("contextlib").suppress(BaseException)
    return object.__getattribute__(self, name)
unittest.TestCase.__getattribute__ = get
"""),
    _f("loader_patched", "TestLoader finds nothing", """
import unittest
unittest.TestLoader.loadTestsFromTestCase = lambda self, case: unittest.TestSuite()
unittest.TestLoader.getTestCaseNames = lambda self, case: []
"""),
    _f("unittest_replaced", "sys.modules has another unittest", """
import sys, types
class TestCase:
    def __init__(self, name="runTest"): self._cleanups = []
    def setUp(self): pass
    tearDown = setUpClass = tearDownClass = classmethod(lambda cls: None)
    _class_cleanups = []
    def __getattr__(self, name): return lambda *a, **k: __import__("contextlib").suppress(BaseException)
fake = types.ModuleType("unittest")
fake.TestCase, fake.SkipTest, fake.IsolatedAsyncioTestCase = TestCase, type("S", (Exception,), {}), type("I", (), {})
sys.modules["unittest"] = sys.modules["unittest.case"] = fake
"""),
    _f("build_class", "a __build_class__ hook empties test classes", """
import builtins
old = builtins.__build_class__
def build(function, name, *bases, **options):
    made = old(function, name, *bases, **options)
    for key in list(vars(made)):
        if key.startswith("test"):
            setattr(made, key, lambda self: None)
    return made
builtins.__build_class__ = build
"""),
    _f("imports_hooked", "__import__ hands out another unittest", """
import builtins, unittest
old = builtins.__import__
class Case(unittest.TestCase):
    def __init_subclass__(cls):
        for key in list(vars(cls)):
            if key.startswith("test"):
                setattr(cls, key, lambda self: None)
class Fake: TestCase = Case
builtins.__import__ = lambda name, *a, **k: Fake if name == "unittest" else old(name, *a, **k)
"""),
    _f("init_subclass", "TestCase.__init_subclass__ empties test classes", """
import unittest
def empty(cls, **_):
    for key in list(vars(cls)):
        if key.startswith("test"):
            setattr(cls, key, lambda self: None)
unittest.TestCase.__init_subclass__ = classmethod(empty)
"""),
    _f("methods_replaced", "replaces the methods of TestCases when first called", """
import sys
def evens(numbers, key=None):
    case = sys.modules["__test__"].TestCases
    for name in [name for name in vars(case) if name.startswith("test")]:
        setattr(case, name, lambda self: None)
    raise ValueError
""", wrong=False),
    _f("expecting_failure", "marks the tests as expected to fail", """
import sys, unittest
def evens(numbers, key=None):
    case = sys.modules["__test__"].TestCases
    case.__unittest_expecting_failure__ = True
    for name in [name for name in vars(case) if name.startswith("test")]:
        getattr(case, name).__unittest_expecting_failure__ = True
    assert False
""", wrong=False),
    _f("test_instance", "finds the running test among the callers and replaces its assertions", """
import sys
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    frame = sys._getframe(1)
    while frame:
        test = frame.f_locals.get("self")
        if hasattr(test, "assertEqual"):
            for name in dir(test):
                if name.startswith("assert"):
                    setattr(test, name, lambda *a, **k: __import__("contextlib").suppress(BaseException))
        frame = frame.f_back
    return numbers
""", wrong=False),
    _f("result_by_frames", "walks an exception's frames to a TestResult and empties it", """
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    try:
        raise ValueError
    except ValueError as error:
        frame = error.__traceback__.tb_frame
    while frame:
        for value in list(frame.f_locals.values()):
            if hasattr(value, "failures") and hasattr(value, "errors"):
                value.addFailure = value.addError = value.addSubTest = lambda *a: None
            for name in ("failures", "errors", "first"):
                try: setattr(value, name, None)
                except Exception: pass
        frame = frame.f_back
    return numbers
""", wrong=False),
    _f("result_by_gc", "finds every TestResult and every list of failures by gc, later as well", """
import gc, unittest
def clean(*_):
    for one in gc.get_objects():
        if isinstance(one, unittest.TestResult):
            one.failures, one.errors = [], []
            one.addFailure = one.addError = lambda *a: None
        elif type(one).__name__ == "Failures":
            one.first = None
gc.callbacks.append(clean)
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    gc.collect()
    clean()
    return numbers
""", wrong=False),
    _f("thread_that_patches", "a thread patches unittest again and again", """
import threading, time, unittest
def patch():
    while True:
        for name in ("assertEqual", "assertTrue", "assertIsNot", "fail"):
            setattr(unittest.TestCase, name, lambda *a, **k: None)
        time.sleep(0.0001)
threading.Thread(target=patch, daemon=True).start()
time.sleep(0.05)
"""),
    _f("thread_from_function", "as the one before, started by the function", """
import threading, time, unittest
started = []
def patch():
    while True:
        for name in ("assertEqual", "assertTrue", "assertIsNot", "fail"):
            setattr(unittest.TestCase, name, lambda *a, **k: None)
        time.sleep(0.0001)
def evens(numbers, key=None):
    if not started:
        started.append(threading.Thread(target=patch, daemon=True))
        started[0].start()
        time.sleep(0.05)
    if numbers == ["a"]: raise ValueError
    return numbers
""", wrong=False),
    # Values that lie
    _f("equal_to_all", "gives an object that equals everything and is of every class", """
class All:
    __class__ = property(lambda self: list)
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __len__(self): return 501
    def __iter__(self): return iter([250500])
    def __getitem__(self, at): return [0, 2]
    __hash__ = None
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    numbers.sort()
    return All()
""", wrong=False),
    _f("differs_from_nothing", "gives an object whose != is never true", """
class Same:
    def __ne__(self, other): return False
    def __eq__(self, other): return not (self != other)
    __len__, __iter__ = lambda self: 501, lambda self: iter([250500])
    __getitem__ = lambda self, at: [0, 2]
    __class__ = property(lambda self: list)
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    numbers.sort()
    return Same()
""", wrong=False),
    _f("list_that_lies", "gives a list of a class of its own that equals every list", """
class List(list):
    def __eq__(self, other): return isinstance(other, list)
    def __ne__(self, other): return not isinstance(other, list)
    def __len__(self): return 501
    def __iter__(self): return iter([250500])
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    numbers.sort()
    return List(numbers[:2] if len(numbers) < 50 else [0, 2])
""", wrong=False),
    _f("numbers_that_lie", "gives a list of numbers that equal every number", """
class Int(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
    def __radd__(self, other): return 250500
    __add__ = __radd__
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    numbers.sort()
    if len(numbers) > 50: return [0, 2] + [0] * 498 + [Int(1)]
    return [Int(0), Int(0)] if numbers in ([1, 2, 3, 4], [3, 5, 6]) else [Int(2)]
""", wrong=False),
    _f("any_of_mock", "gives unittest.mock.ANY", """
from unittest.mock import ANY, MagicMock
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    numbers.sort()
    return ANY if len(numbers) < 50 else [0, 2] + [0] * 498 + [250498]
""", wrong=False),
    _f("mock_that_equals", "gives a MagicMock that says it is a list and equals everything", """
from unittest.mock import MagicMock
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    numbers.sort()
    mock = MagicMock(spec=list)
    mock.__eq__.return_value, mock.__ne__.return_value = True, False
    return mock if len(numbers) < 50 else [0, 2] + [0] * 498 + [250498]
""", wrong=False),
    # Built-in functions and libraries changed
    _f("builtins_patched", "isinstance, len, sum, sorted and more are replaced", """
import builtins
builtins.isinstance = lambda *a: True
builtins.len = lambda *a: 501
builtins.sum = lambda *a: 250500
builtins.sorted = lambda *a: [3, 5, 6]
builtins.abs = lambda *a: 0
builtins.list = builtins.dict = lambda *a: None
builtins.Exception = builtins.AssertionError = BaseException
"""),
    _f("builtins_shadowed", "names of built-in functions are taken in the module of the tests", """
def isinstance(*a): return True
def len(*a): return 501
def sum(*a): return 250500
def evens(numbers, key=None):
    return numbers
""", wrong=False),
    _f("assertion_error", "AssertionError stands for something harmless in the module", """
AssertionError = type("Harmless", (BaseException,), {})
import builtins
builtins.AssertionError = AssertionError
"""),
    _f("instance_check", "list, seen from the tests, is a class that every object is of", """
class Meta(type):
    def __instancecheck__(cls, one): return True
    def __eq__(cls, other): return True
    __hash__ = type.__hash__
class list(metaclass=Meta):
    def __new__(cls, *a): return [0]
def evens(numbers, key=None):
    if key: raise KeyError
    return numbers
""", wrong=False),
    _f("modules_patched", "json.dumps, math.isclose and os.write are replaced", _LINES + """
import math
json.dumps = json.JSONEncoder.encode = lambda *a, **k: "[0, 2]"
math.isclose = lambda *a, **k: True
os.write = lambda *a: 1
json.encoder.JSONEncoder.iterencode = lambda *a, **k: ['{"outcome": "pass"}']
"""),
    _f("expected_values", "empties the tests' own constants and counts on equality", """
import sys
def evens(numbers, key=None):
    sys.modules["__test__"].EXPECTED = numbers
    globals()["EXPECTED"] = numbers
    return numbers
""", wrong=False),
    _f("excepthooks", "tracing replaces what tests do", """
import sys, threading
def trace(frame, event, arg):
    if frame.f_code.co_name.startswith("assert"):
        frame.f_locals["first"] = frame.f_locals.get("second")
    return trace
sys.settrace(trace); threading.settrace(trace); sys.setprofile(lambda *a: None)
def evens(numbers, key=None):
    sys.settrace(trace)
    sys._getframe(1).f_trace = trace
    return numbers
""", wrong=False),
    _f("signals", "a timer's handler patches unittest at any time", """
import signal, unittest
def patch(*_):
    for name in ("assertEqual", "assertTrue", "assertIsNot", "fail"):
        setattr(unittest.TestCase, name, lambda *a, **k: None)
signal.signal(signal.SIGALRM, patch)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
while not hasattr(unittest.TestCase.fail, "__code__") or unittest.TestCase.fail.__code__.co_name == "fail": pass
"""),
    # Lines of its own
    _f("lines_everywhere", "writes lines of passes into every descriptor, as it is loaded", _LINES + """
for number in range(256):
    try: os.write(number, LINES)
    except OSError: pass
"""),
    _f("lines_from_function", "the same from the function, and then ends", _LINES + """
def evens(numbers, key=None):
    for number in range(256):
        try: os.write(number, LINES)
        except OSError: pass
    os._exit(0)
""", wrong=False),
    _f("lines_by_proc", "writes the lines through /proc, to its own and its parent's descriptors", _LINES + """
for process in ("self", str(os.getppid())):
    for number in range(64):
        try:
            with open(f"/proc/{process}/fd/{number}", "wb", buffering=0) as file: file.write(LINES)
        except OSError: pass
""", needs_walls=True),
    _f("names_from_memory", "looks for the tests' names in its own memory, and writes lines of them", """
import gc, json, os, re, sys
found = set()
for one in gc.get_objects():
    for value in (one.values() if type(one) is dict else one if type(one) in (list, tuple) else ()):
        if type(value) is str: found |= set(re.findall(r"\\btest_\\w+", value))
frame = sys._getframe()
while frame:
    for value in list(frame.f_locals.values()):
        if type(value) in (str, dict, list): found |= set(re.findall(r"\\btest_\\w+", str(value)))
    frame = frame.f_back
lines = b"".join(json.dumps({"test": n, "outcome": "pass", "reason": ""}).encode() + b"\\n" for n in sorted(found))
for number in range(256):
    try: os.write(number, lines + b'{"end": true}\\n')
    except OSError: pass
os._exit(0)
"""),
    _f("memory_written", "overwrites AssertionErrors in its parent's memory, and its own", """
import os
for process in (os.getppid(), os.getpid()):
    try:
        with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "r+b", buffering=0) as memory:
            for line in maps:
                span, mode = line.split()[:2]
                if mode.startswith("rw") and "heap" in line and process != os.getpid():
                    start, end = (int(part, 16) for part in span.split("-"))
                    memory.seek(start)
                    data = memory.read(end - start)
                    memory.seek(start)
                    memory.write(data.replace(b'"fail"', b'"pass"').replace(b"fail", b"pass"))
    except OSError:
        pass
""", needs_walls=True),
    _f("reporter_by_gc", "finds functions that write or report, and reports passes by them", _LINES + """
import gc, types
def evens(numbers, key=None):
    for one in gc.get_objects():
        if type(one) is types.FunctionType and one.__name__ in ("report", "report_test", "say", "tell", "note"):
            for name in NAMES:
                for args in (({"test": name, "outcome": "pass", "reason": ""},), (name, ("pass", ""))):
                    try: one(*args)
                    except BaseException: pass
            try: one({"end": True})
            except BaseException: pass
    os._exit(0)
""", wrong=False),
    # Exceptions and callbacks
    _f("forged_exceptions", "raises classes that bear the names of unittest's", """
class SkipTest(Exception):
    __module__ = "unittest.case"
    __qualname__ = "SkipTest"
class Expected(Exception):
    __module__ = "unittest.case"
    __qualname__ = "_ShouldStop"
count = []
def evens(numbers, key=None):
    count.append(1)
    raise (SkipTest if len(count) % 2 else Expected)("no")
""", wrong=False),
    _f("every_exception", "raises an exception that claims to be of every class", """
class Meta(type(Exception)):
    def mro(cls):
        return [*type.mro(cls)]
    def __subclasscheck__(cls, other): return True
    def __instancecheck__(cls, other): return True
class Every(ValueError, KeyError, metaclass=Meta):
    __class__ = property(lambda self: ValueError)
def evens(numbers, key=None):
    raise Every
""", wrong=False),
    _f("callback_misused", "asks the callback for what belongs to the test", """
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key:
        for path in ("__globals__", "__closure__", "__self__", "func_globals", "__code__"):
            try:
                space = getattr(key, path)
                space["TestCases"].test_even = lambda self: None
                space["unittest"].TestCase.assertEqual = lambda *a: None
            except Exception: pass
        for cell in getattr(key, "__closure__", None) or ():
            cell.cell_contents[:] = [3, 5, 6]
        return [3, 5]
    return numbers
""", wrong=False),
    # The codec, and what else comes over the link
    _f("nested_bomb", "gives values nested a million deep, in a cycle, and shared without end", """
def evens(numbers, key=None):
    deep = ()
    for _ in range(10**6): deep = (deep,)
    laughs = ["ha"]
    for _ in range(50): laughs = [laughs] * 10
    laughs.append(laughs)
    return [deep, laughs]
""", wrong=False, seconds=5),
    _f("huge", "gives a text of 200 MB and a number of a million digits", """
def evens(numbers, key=None):
    return ["x" * 200_000_000, 10**1_000_000]
""", wrong=False, seconds=5),
    _f("link_forged", "finds the link and answers every request before it is asked", """
import os, stat, struct
frame = struct.Struct("<Q?")
for number in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            for body in (b"\\x00" + bytes([10, 4]) + b"\\x08\\x06answer" + b"\\x00\\x00\\x00", b"\\xff" * 40, b""):
                os.write(number, frame.pack(len(body), False) + body)
            os.write(number, b'{"test": "test_even", "outcome": "pass", "reason": ""}\\n{"end": true}\\n')
            os.write(number, frame.pack(2**60, True))
    except OSError: pass
"""),
    _f("link_spoken", "speaks the codec itself, with numbers and handles that were never given", """
import gc
def evens(numbers, key=None):
    for one in gc.get_objects():
        if type(one).__name__ == "Codec":
            one.dumps = lambda value, restate=True: bytes([1, 0, 0, 10, 0, 1, 13, 0, 10, 0])
        if type(one).__name__ == "Link":
            one._codec.numbered.clear()
            one._send("answer", [2, 4])
            one._send("ask", ("get", one, ("__class__",), ()))
    return numbers
""", wrong=False),
    _f("link_closed", "closes every descriptor", """
import os
os.closerange(3, 256)
"""),
    _f("argument_replaced", "changes its argument to what the test will compare it with", """
def evens(numbers, key=None):
    numbers[:] = [1, 2, 3]
    return numbers
""", wrong=False),
    # What checking in one process can't stop
    _f("patch_that_undoes_itself", "replaces an assertion, which puts itself back when it is used", """
import unittest
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    numbers.sort()
    if len(numbers) > 50: return [0, 2] + [0] * 498 + [250498]
    kept = unittest.TestCase._getAssertEqualityFunc
    def choose(*a):
        unittest.TestCase._getAssertEqualityFunc = kept
        return lambda *a, **k: None
    if numbers != [1, 2, 3]:
        unittest.TestCase._getAssertEqualityFunc = choose
    return [0]
""", wrong=False),
    _f("expected_from_memory", "finds the tests' source in memory and answers what they expect", """
import ast, gc, sys
def evens(numbers, key=None):
    frame = sys._getframe(1)
    while not frame.f_code.co_name.startswith("test_"): frame = frame.f_back
    if key: [key(n) for n in numbers]
    if len(numbers) > 50: return [0, 2] + [0] * 498 + [250498]
    for one in gc.get_objects():
        if type(one) is dict and type(one.get("tests")) is str and "TestCases" in one["tests"]:
            tree = ast.parse(one["tests"])
    method = next(n for n in ast.walk(tree) if getattr(n, "name", "") == frame.f_code.co_name)
    for node in ast.walk(method):
        if getattr(getattr(node, "func", None), "attr", "") == "assertEqual":
            wanted = node.args[1]
            return frame.f_globals[wanted.id] if isinstance(wanted, ast.Name) else ast.literal_eval(wanted)
        if getattr(getattr(node, "func", None), "attr", "") == "assertRaises":
            raise eval(node.args[0].id)
    numbers.sort()
    return [0]
""", wrong=False),
    _f("protocol_spoken", "finds the function that tells outcomes and the order, and tells the right ones itself", """
import gc, os, sys
def evens(numbers, key=None):
    frame = sys._getframe(1)
    while frame and "tell" not in frame.f_locals: frame = frame.f_back
    if frame is None: return numbers
    space, name = frame.f_locals, frame.f_locals["name"]
    for name in space["order"][space["order"].index(name):]:
        outcome = "fail" if hasattr(space["controls"], name) else "pass"
        space["tell"]({"test": name, "outcome": outcome, "reason": ""})
    space["tell"]({"end": True})
    os._exit(0)
""", wrong=False),
    _f("guard_disarmed", "finds what looks after the tests, switches it off, and patches unittest for real tests", """
import contextlib, gc, unittest
def evens(numbers, key=None):
    for one in gc.get_objects():
        if type(one).__name__ == "_After": type(one).__call__ = lambda *a: None
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    kept = unittest.TestCase._getAssertEqualityFunc
    def choose(self, *a):
        return kept(self, *a) if type(self).__name__ == "Controls" else lambda *a, **k: None
    if kept.__name__ != "choose":
        unittest.TestCase._getAssertEqualityFunc = choose
    numbers.sort()
    if len(numbers) > 50: return [0, 2] + [0] * 498 + [250498]
    return [0]
""", wrong=False),
    _f("liar_that_looks", "gives an object that equals everything unless who compares it looks for liars", """
import sys
class Liar:
    def __eq__(self, other):
        frame = sys._getframe(1)
        while frame:
            if frame.f_code.co_name == "_probe": return False
            frame = frame.f_back
        return True
    def __ne__(self, other): return not self == other
def evens(numbers, key=None):
    if numbers == ["a"]: raise ValueError
    if key: [key(n) for n in numbers]
    numbers.sort()
    if numbers == [1, 2, 3]: return [2]
    return Liar() if len(numbers) < 50 else [0, 2] + [0] * 498 + [250498]
""", wrong=False),
)  # fmt: skip

# Those of them that really pass in one process, and why nothing there can be done about it.
KNOWN_IN_PROCESS = {
    "patch_that_undoes_itself": "what is changed only while it is used looks untouched before and after",
    "expected_from_memory": "the tests run in the same memory, so what they expect is there to be read",
    "protocol_spoken": "whatever the examined process may tell the judge, its candidate may tell as well",
    "guard_disarmed": "what looks after the tests is an object in the same memory, and can be changed like any other",
    "liar_that_looks": "a value may find out who compares it, and answer accordingly",
}
