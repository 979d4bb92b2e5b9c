"""Slots that an ordinary user starts: they share their user with everything else of his, and may not touch it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.shadow.sandbox.enter import unreachable
from gateway.shadow.sandbox.level import Level
from tests.gateway.shadow.sandbox import ordinary_user

REPOSITORY = Path(__file__).parents[4]
UID = 60_987  # of nobody here
OLDEST = "import sys; sys.exit(sys.version_info < (3, 11))"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder of the ordinary user's, with what we need of the repository in it, since the checkout may be closed."""
    folder = Path(tempfile.mkdtemp(prefix="yardstick-ordinary-"))
    for name in ("gateway/__init__.py", "gateway/shadow/__init__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    shutil.copytree(REPOSITORY / "gateway/shadow/sandbox", folder / "gateway/shadow/sandbox")
    shutil.copy(ordinary_user.__file__, folder / "ordinary_user.py")
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, UID, UID)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def readable_python(python: Path) -> Path:
    """A Python that the ordinary user can run."""
    if os.getuid() != 0 or unreachable(os.path.realpath(python), UID) is None:
        return python
    for candidate in (Path("/usr/bin/python3"), Path("/usr/local/bin/python3")):
        if candidate.exists() and subprocess.run([candidate, "-c", OLDEST], check=False).returncode == 0:
            return candidate
    pytest.skip(f"no Python 3.11 or newer that an ordinary user can run: {python} is closed to others")


def test_it_reaches_nothing_of_its_user_and_leaves_nothing(level: Level, home: Path, readable_python: Path) -> None:
    done = subprocess.run(
        [readable_python, home / "ordinary_user.py", level, readable_python],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        **({"user": UID, "group": UID, "extra_groups": []} if os.getuid() == 0 else {}),
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if answer["obstacle"] is not None:
        pytest.skip(answer["obstacle"])
    if answer.pop("uid") == UID:
        assert answer.pop("left over") == []
    assert answer == answer | {
        "reached": [[]],
        "left": [{"left": True}],
        "bounded": "cpu",
        "bystander lives": True,
        "file is unchanged": True,
    }
