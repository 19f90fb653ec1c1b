"""Fixtures that every suite shares."""

import os
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("VCAP_SHARED", REPOSITORY.parent / "shared"))
GOLDEN = Path(os.environ.get("VCAP_GOLDEN", SHARED / "golden"))
MEDIA = Path(os.environ.get("VCAP_MEDIA", SHARED / "data" / "videos"))


def present(folder: Path, variable: str) -> Path:
    """The folder, or a skip that says which variable points to it."""
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set {variable} to run this test")
    return folder


@pytest.fixture(scope="session")
def shared_root() -> Path:
    """Annotations, captions, videos and golden data."""
    return present(SHARED, "VCAP_SHARED")


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """Recorded inputs and outputs of the original systems."""
    return present(GOLDEN, "VCAP_GOLDEN")


@pytest.fixture(scope="session")
def media_root() -> Path:
    """Real and broken videos with their manifests."""
    return present(MEDIA, "VCAP_MEDIA")


@pytest.fixture
def vcap() -> Any:
    """Run a vcap command line in this process; gives exit_code, stdout and stderr."""
    from typer.testing import CliRunner

    from vcap.cli.app import app

    def run(*arguments: object, stdin: str | None = None) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)

    return run


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small captioner with random weights; the folder `clip` in it is its encoder."""
    from tests.small_models import write_captioner

    return write_captioner(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="session")
def small_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of seven videos of three seconds."""
    from tests.small_videos import make_video

    folder = tmp_path_factory.mktemp("videos")
    for number in range(7):
        make_video(folder / f"{number}.mp4", number)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note in the report which cases need recorded data, so that CI can count them."""
    for item in items:
        for name in ("parity", "media"):
            if item.get_closest_marker(name):
                item.user_properties.append(("suite", name))
