"""How a Dockerfile's steps are carried out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.image.build import Build, Image, place, size
from tests.deploy.image.context import Context
from tests.deploy.image.debian import CannotBuild
from tests.deploy.image.dockerfile import read


def built(text: str, name: str, base: Path, folder: Path, told: list[str] | None = None) -> Image:
    """``folder/context`` is the build's context."""
    (folder / "work").mkdir()
    said = [] if told is None else told
    return Build(read(text), Context(folder / "context", "secret"), base, folder / "work", said.append).image(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "tree/two", "tree/deep/three", "secret"):
        (tmp_path / "context" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "context" / name).write_text(name)
    return tmp_path


def files(root: Path, below: str) -> list[str]:
    return sorted(path.relative_to(root / below).as_posix() for path in (root / below).rglob("*") if path.is_file())


def test_files_are_copied_as_docker_copies_them(folder: Path) -> None:
    base = folder / "base"
    base.mkdir()
    text = "FROM x AS a\nWORKDIR /w\nCOPY one tree ./\nCOPY one renamed\nCOPY one into/\nCOPY tree kept/tree\n"
    image = built(f"{text}FROM x AS b\nCOPY --from=a /w/kept /kept\n", "a", base, folder)
    assert files(image.root, "w") == sorted(
        ["deep/three", "into/one", "kept/tree/deep/three", "kept/tree/two", "one", "renamed", "two"]
    )
    assert files(base, ".") == []  # which others begin with


def test_of_stages_only_those_are_made_that_are_needed(folder: Path) -> None:
    base, told = folder / "base", list[str]()
    base.mkdir()
    text = "FROM x AS a\nCOPY tree /t\nFROM x AS unneeded\nCOPY one /one\nFROM x AS b\nCOPY --from=a /t /from/a\n"
    image = built(f"{text}FROM b AS c\nUSER 7\n", "c", base, folder, told)
    assert files(image.root, ".") == ["from/a/deep/three", "from/a/two"]
    assert [line.split()[0] for line in told] == ["a", "b", "c"]
    assert image.settings.user == "7"


@pytest.mark.parametrize("source", ["secret", "none", "../outside"])
def test_what_the_context_has_not_cannot_be_copied(folder: Path, source: str) -> None:
    (folder / "base").mkdir()
    (folder / "outside").touch()
    with pytest.raises(FileNotFoundError, match="nothing of that name"):
        built(f"FROM x AS a\nCOPY {source} /x\n", "a", folder / "base", folder)


def test_nothing_is_written_outside_the_root(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    for path in ("/link/etc/x", "/a/../../x"):
        with pytest.raises(CannotBuild, match="is a link, or leads upwards"):
            place(tmp_path, path)
    assert place(tmp_path, "/a/b") == tmp_path / "a/b"


def test_size_counts_links_once_and_only_what_is_new(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    (before / "old").write_bytes(b"x" * 100)
    after.mkdir()
    (after / "old").hardlink_to(before / "old")
    (after / "new").write_bytes(b"x" * 10)
    (after / "again").hardlink_to(after / "new")
    assert (size(before), size(after), size(after, without=before)) == (100, 110, 10)


@pytest.mark.image
def test_commands_run_as_root_in_the_folder_with_what_was_set(bare_debian: Path, folder: Path) -> None:
    text = (
        "FROM x AS a\nENV ONE=1\nENV TWO=$ONE$ONE\nWORKDIR /w\nRUN id -u > said && pwd >> said && echo $TWO >> said\n"
    )
    image = built(text, "a", bare_debian, folder)
    assert (image.root / "w/said").read_text().split() == ["0", "/w", "11"]
    assert (image.root / "etc/resolv.conf").read_text() == ""  # this machine's is gone after the step
    assert not (bare_debian / "w").exists()


@pytest.mark.image
def test_a_command_that_fails_ends_it_with_its_line_and_words(bare_debian: Path, folder: Path) -> None:
    with pytest.raises(CannotBuild, match=r"(?s)line 2: RUN ended with 3: .*the reason"):
        built("FROM x AS a\nRUN echo the reason >&2; exit 3\n", "a", bare_debian, folder)
