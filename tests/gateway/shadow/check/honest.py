"""Programs that do for honest reasons what forgeries do, with tests that they pass."""

from __future__ import annotations

from typing import NamedTuple


class Honest(NamedTuple):
    name: str
    program: str
    tests: str  # the body of one test
    entry_point: str = "f"
    separable: bool = True
    prelude: str = ""


HONEST: tuple[Honest, ...] = (
    Honest("threads", """
import threading
def f(numbers):
    found = []
    threads = [threading.Thread(target=lambda n=n: found.append(n * n)) for n in numbers]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return sorted(found)
""", "self.assertEqual(f([1, 2, 3]), [1, 4, 9])"),
    Honest("thread_at_import", """
import threading
table = {}
thread = threading.Thread(target=lambda: table.update(a=1))
thread.start()
def f():
    thread.join()
    return table
""", "self.assertEqual(f(), {'a': 1})"),
    Honest("daemon_in_function", """
import threading, time
def f():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return "started"
""", "self.assertEqual(f(), 'started')\nself.assertEqual(f(), 'started')"),
    Honest("pool", """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
def f(numbers): return list(pool.map(abs, numbers))
""", "self.assertEqual(f([-1, 2]), [1, 2])"),
    Honest("gc_and_inspect", """
import gc, inspect, sys
def f(function):
    gc.collect()
    return len(gc.get_objects()) > 100, inspect.currentframe().f_code.co_name, sys._getframe().f_lineno > 0
""", "self.assertEqual(f(1), (True, 'f', True))"),
    Honest("exit_that_is_caught", """
import sys
def f(code):
    try: sys.exit(code)
    except SystemExit as end: return end.code
""", "self.assertEqual(f(3), 3)"),
    Honest("exit_that_is_expected", """
import sys
def f(code): sys.exit(code)
""", "with self.assertRaises(SystemExit):\n    f(1)", separable=False),
    Honest("arguments_changed", """
def f(numbers, table, seen):
    numbers.sort(); table["n"] = numbers; seen.add(len(numbers)); numbers += [9]
    return numbers
""", """
numbers, table, seen = [3, 1], {}, set()
self.assertIs(f(numbers, table, seen), numbers)
self.assertEqual((numbers, table, seen), ([1, 3, 9], {"n": [1, 3, 9]}, {2}))
self.assertIs(table["n"], numbers)
"""),
    Honest("output_log_and_warning", """
import logging, warnings
def f():
    print("said"); logging.getLogger("f").info("logged %d", 1); warnings.warn("old", DeprecationWarning)
""", """
import contextlib, io
said = io.StringIO()
with contextlib.redirect_stdout(said), self.assertLogs("f", "INFO") as logged, self.assertWarns(DeprecationWarning):
    f()
self.assertEqual((said.getvalue(), logged.output), ("said\\n", ["INFO:f:logged 1"]))
"""),
    Honest("own_exceptions", """
class Missing(KeyError):
    def __init__(self, name, where):
        super().__init__(name); self.where = where
def f(name):
    try: {}[name]
    except KeyError as error: raise Missing(name, {"at": [1]}) from error
""", """
with self.assertRaises(KeyError) as caught: f("x")
self.assertEqual((caught.exception.args, caught.exception.where), (("x",), {"at": [1]}))
self.assertEqual((type(caught.exception).__name__, type(caught.exception.__cause__)), ("Missing", KeyError))
"""),
    Honest("builtin_exceptions", """
import json
def f(what):
    if what == "file": open("/no/such/file")
    if what == "json": json.loads("{")
    if what == "text": b"\\xff".decode()
""", """
import json
with self.assertRaises(FileNotFoundError) as caught: f("file")
self.assertEqual((caught.exception.errno, caught.exception.filename), (2, "/no/such/file"))
with self.assertRaises(json.JSONDecodeError) as caught: f("json")
self.assertEqual((caught.exception.pos, caught.exception.doc), (1, "{"))
with self.assertRaises(UnicodeDecodeError) as caught: f("text")
self.assertEqual((caught.exception.start, caught.exception.object), (0, b"\\xff"))
"""),
    Honest("callbacks", """
def f(function, retry):
    for _ in range(3):
        try: return function(1, word="a")
        except retry as error: last = error
    raise last
""", """
class Broken(Exception): pass
error, calls = ValueError("once"), []
def function(number, *, word):
    calls.append((number, word))
    if len(calls) < 3: raise error
    return calls
self.assertIs(f(function, ValueError), calls)
with self.assertRaises(ValueError) as caught: f(lambda *a, **k: (_ for _ in ()).throw(error), ValueError)
self.assertIs(caught.exception, error)
"""),
    Honest("seeded", """
import random
def f(n): return [random.random() for _ in range(n)]
""", "import random\nrandom.seed(1); first = f(2); here = random.random(); random.seed(1)\n"
     "self.assertEqual([random.random() for _ in range(3)], [*first, here])"),
    Honest("generators_and_iterators", """
def f(lines): return (line.strip() for line in lines)
""", """
import io
self.assertEqual(list(f(io.StringIO("a\\nb\\n"))), ["a", "b"])
self.assertEqual(next(f(iter("x"))), "x")
"""),
    Honest("named_tuples", """
from collections import namedtuple
Point = namedtuple("Point", "x y")
def f(): return Point(1, [2])
""", "point = f()\nself.assertEqual((point, point.x, point._asdict()), ((1, [2]), 1, {'x': 1, 'y': [2]}))"),
    Honest("class_of_its_own", """
class f:
    def __init__(self, start): self.items = [start]
    def add(self, item): self.items.append(item); return self
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
""", "one = f(1).add(2)\nself.assertEqual((len(one), list(one), one.items), (2, [1, 2], [1, 2]))",
     prelude="class f:\n    pass\n"),
    Honest("instances", """
class Node:
    def __init__(self, value): self.value = value
    def __eq__(self, other): return isinstance(other, Node) and self.value == other.value
def f(value): return Node(value)
""", "self.assertEqual(f(1).value, 1)\nself.assertEqual(f([1]), f([1]))\nself.assertNotEqual(f(1), f(2))",
     separable=False),
    Honest("subclasses_of_built_ins", """
class Text(str):
    def shout(self): return self.upper()
class Table(dict):
    def __missing__(self, key): return 0
def f(): return [Text("a"), Table(a=1)]
""", """
text, table = f()
self.assertEqual((text, table, table["b"], len(table)), ("a", {"a": 1}, 0, 1))
""", separable=False),
    Honest("patched_by_tests", """
import os
def f(path): return os.path.exists(path) and os.listdir(path)
""", """
from unittest.mock import MagicMock, patch
with patch("os.path.exists", return_value=True) as exists, patch("os.listdir", return_value=["a"]):
    self.assertEqual(f("/x"), ["a"])
exists.assert_called_once_with("/x")
stop = patch("os.listdir", return_value=[1]); stop.start(); self.assertEqual(f("/"), [1]); stop.stop()
self.assertEqual(MagicMock(return_value=3)(), 3)
""", separable=False),
    Honest("patched_by_name", """
import time
def pause(): time.sleep(9)
def f(): pause(); return time.time()
""", """
from unittest.mock import patch
with patch("__test__.pause") as pause, patch("time.time", return_value=5):
    self.assertEqual(f(), 5)
pause.assert_called_once_with()
""", separable=False),
    Honest("subprocess", """
import subprocess, sys
def f(text): return subprocess.run([sys.executable, "-c", f"print({text!r})"], text=True).stdout
""", "self.assertEqual(f('hi'), 'hi\\n')"),
    Honest("patches_of_its_own", """
import ssl, warnings, json
ssl._create_default_https_context = ssl._create_unverified_context
warnings.showwarning = lambda *a, **k: None
json.JSONEncoder.default = lambda self, one: str(one)
class Encoder(json.JSONEncoder):
    def default(self, one): return "other"
def f(): return json.dumps({"a": {1}.__class__}, cls=Encoder)
""", "self.assertEqual(f(), '{\"a\": \"other\"}')"),
    Honest("names_like_builtins", """
from math import pow
def input(): return 3
id = 7
def f(): return pow(2, input()) + id
""", "self.assertEqual(f(), 15.0)"),
    Honest("signals", """
import signal
def f():
    old = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(30); left = signal.alarm(0); signal.signal(signal.SIGALRM, old)
    return left
""", "self.assertGreater(f(), 0)"),
    Honest("files", """
def f(path, text):
    with open(path, "w") as file: file.write(text)
""", """
import os, pathlib, tempfile
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "a"); f(path, "text"); self.assertEqual(path.read_text(), "text")
"""),
    Honest("keywords_and_names", """
def f(a, *, b=2):
    "Adds."
    return a + b
""", "self.assertEqual((f(1), f(a=1, b=5), f.__name__, f.__doc__), (3, 6, 'f', 'Adds.'))"),
    Honest("any_keyword", """
def f(target, operation=0, **others): return target, operation, sorted(others)
""", "self.assertEqual(f(target=1, operation=2, self=3, link=4, kwargs=5), (1, 2, ['kwargs', 'link', 'self']))"),
    Honest("nan", """
import math
def f(x): return {"mean": math.nan, "given": x}
""", "import math\nself.assertEqual(f(math.nan), {'mean': math.nan, 'given': math.nan})"),
    Honest("asynchronous", """
async def f(n): return n + 1
""", "import asyncio\nself.assertEqual(asyncio.run(f(1)), 2)", separable=False),
    Honest("times_and_texts", """
import datetime, decimal, fractions, uuid, pathlib, collections
def f(x): return [x, collections.Counter("aab"), collections.deque([1], 3), collections.defaultdict(list, a=[1])]
""", """
import collections, datetime, decimal, fractions, uuid, pathlib
zone = datetime.timezone(datetime.timedelta(hours=2))
given = [datetime.datetime(2024, 1, 2, 3, tzinfo=zone), datetime.date.min, decimal.Decimal("1.50"), "\\ud800",
         fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.Path("a/b"), 1e400, -0.0, 3j, range(3), {1: (2, {3})}]
back, counter, queue, table = f(given)
self.assertIs(back, given)
self.assertEqual((counter, queue.maxlen, table["new"]), ({"a": 2, "b": 1}, 3, []))
"""),
)  # fmt: skip


def task(one: Honest) -> dict[str, object]:
    body = "\n".join(f"        {line}" for line in one.tests.strip().splitlines())
    tests = f"import unittest\nclass TestCases(unittest.TestCase):\n    def test_it(self):\n{body}\n"
    return {"prelude": one.prelude, "tests": tests, "entry_point": one.entry_point, "names": ["test_it"]}
