"""Which files may stand around a task."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.shadow.canary.distractors import gives_away
from gateway.shadow.canary.sources import Source, read_sources
from gateway.shadow.suites.task import Task

CODE = "value = 1\n" * 60


def test_the_standard_library_is_the_default() -> None:
    sources = read_sources()
    assert sum(len(source.text) for source in sources) > 4_000_000
    paths = [source.path for source in sources]
    assert "argparse.py" in paths
    assert "json/decoder.py" in paths
    assert not any("site-packages" in path or "/test" in path or path.startswith(("/", "test/")) for path in paths)


def test_what_a_folder_gives(tmp_path: Path) -> None:
    files = {
        "b.py": f"\n\n{CODE}\n",
        "a/c.py": CODE,
        "small.py": "x = 1\n",
        "large.py": CODE * 200,
        "long_line.py": f"{CODE}x = '{'a' * 300}'\n",
        "special.py": f"{CODE}end = '<|endoftext|>'\n",
        "frame.py": f"{CODE}end = '</file>'\n",
        'odd"name.py': CODE,
        "notes.txt": CODE,
        "tests/test_a.py": CODE,
        ".hidden/d.py": CODE,
        "node_modules/e.py": CODE,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.py").write_bytes(CODE.encode() + b"# \xe9\n")
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    assert read_sources(tmp_path) == (Source("b.py", CODE.strip()), Source("a/c.py", CODE.strip()))


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no Python file of 400 to 100,000 characters"):
        read_sources(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_sources(tmp_path / "missing")


TASK = Task("t/1", "", "", "    total = sum(values)\n    return total / len(values)\n", "", "", "mean_of")


@pytest.mark.parametrize(
    ("path", "text", "gives"),
    [
        ("a.py", "def other(values): return 1", False),
        ("a.py", "def mean_of(values): return 1", True),
        ("a.py", "# see mean_of.", True),
        ("a.py", "mean_of_all = 1", False),
        ("mean_of.py", "x = 1", True),
        ("a.py", "def f(values):\n        total = sum(values)\n\n        return total / len(values)", True),
        ("a.py", "def f(values):\n    total = sum(values)\n    return total / len(rest)", False),
    ],
)
def test_files_that_give_the_task_away(path: str, text: str, gives: bool) -> None:
    assert gives_away(Source(path, text), TASK) is gives
