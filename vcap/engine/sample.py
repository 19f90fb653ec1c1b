"""The video inside the package: something to try every command on, without a network.

It is one rendered clip of the test split, which no model was trained on. The word `sample` on the
command line means this file, unless there is a file of that name.
"""

from pathlib import Path

from vcap.engine.download import Drawing, render

NAME = "sample"
DRAWING = Drawing(seed=0, subset="clips", split="test", number=166)


def sample_path() -> Path:
    """Where the packaged video is."""
    return Path(__file__).resolve().parents[1] / "assets" / "sample.mp4"


def remake(path: Path) -> None:
    """Render the video anew, as it was made for the package: remake(sample_path())."""
    from vcap.engine.files import write_atomic

    write_atomic(path, render(DRAWING))


def references() -> list[str]:
    """What is true of the video, in several words."""
    from vcap.data import shapes

    record = shapes.record(shapes.describe(*DRAWING), sample_path().name)
    return [caption.text for caption in record.captions or []]
