"""What builds the image: only where it is asked for, with ``-m image`` (`make image-check`)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.image.build import Build, Image, size
from tests.deploy.image.context import Context
from tests.deploy.image.debian import base_root, missing
from tests.deploy.image.dockerfile import Stage, read

REPOSITORY = Path(__file__).parents[3]
FOLDER = REPOSITORY / "deploy/k8s/image"
_KEPT = REPOSITORY / ".image"
_SECONDS = 900  # for one test, with what it builds
_MIB = 1024 * 1024


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves tests marked ``image`` out unless they are asked for."""
    for item in items:
        if item.get_closest_marker("image"):
            item.add_marker(pytest.mark.timeout(_SECONDS))
    if config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("image")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def stages() -> tuple[Stage, ...]:
    return read((FOLDER / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def context() -> Context:
    return Context(REPOSITORY, (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def told(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Lines of progress, which are shown at once, whatever pytest keeps back."""
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    return tell


@pytest.fixture(scope="session")
def bare_debian(told: Callable[[str], None]) -> Path:
    """A skip where this machine can't make one."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    return base_root(_KEPT, told)


@pytest.fixture(scope="session")
def build(
    stages: tuple[Stage, ...], context: Context, bare_debian: Path, told: Callable[[str], None]
) -> Iterator[Build]:
    work = Path(tempfile.mkdtemp(prefix="yardstick-image-"))
    yield Build(stages, context, bare_debian, work, told)
    shutil.rmtree(work)


@pytest.fixture(scope="session")
def gateway(build: Build, bare_debian: Path, told: Callable[[str], None]) -> Image:
    return _built("gateway", build, bare_debian, told)


@pytest.fixture(scope="session")
def scorer(build: Build, bare_debian: Path, told: Callable[[str], None]) -> Image:
    return _built("scorer", build, bare_debian, told)


def _built(name: str, build: Build, base: Path, told: Callable[[str], None]) -> Image:
    image = build.image(name)
    sizes = (size(image.root), size(image.root, without=base), size(base))
    whole, added, below = (f"{each / _MIB:.0f} MiB" for each in sizes)
    told(f"{name}: {whole} of files, {added} of them on top of Debian's {below}")
    return image
