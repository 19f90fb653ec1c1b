"""A run that is killed while it fills a picture cache leaves no half that is taken for whole."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
PATIENCE_SECONDS = 300.0
OPEN_SLOWLY = """
import sys, time
from pathlib import Path
from tests.fault import picture_kills
from vcap.engine import pictures
read = pictures.read_pictures
def slow(path, *arguments, **options):
    if path.stem == "2":
        Path(sys.argv[1], "begun").touch()
        time.sleep(300)
    return read(path, *arguments, **options)
pictures.read_pictures = slow
picture_kills.gathered(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_cache_survives_a_kill_before_every_change_to_the_disk(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fault.picture_kills", str(tmp_path)],
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8, "there were hardly any kills"


@pytest.mark.slow
def test_a_run_killed_while_it_decodes_lets_the_next_one_go_on_at_once(tmp_path: Path) -> None:
    from tests.fault.picture_kills import NAMES, gathered
    from tests.small_videos import make_video

    for name in NAMES:
        make_video(tmp_path / f"{name}.mp4", int(name))
    wanted = gathered(tmp_path, tmp_path / "other")
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", OPEN_SLOWLY, str(tmp_path), str(cache)]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=ENVIRONMENT, stderr=said)
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (tmp_path / "begun").exists():
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert any(path.name.startswith(".vcap-") for path in (cache / "pictures").iterdir())
    found = gathered(tmp_path, cache)
    assert all((found[kind] == wanted[kind]).all() for kind in wanted)
    assert not any(path.name.startswith(".vcap-") for path in (cache / "pictures").iterdir())
