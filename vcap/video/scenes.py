"""Cut a video into its shots, with the content detector of PySceneDetect.

The frames come from our own decoder, so that damaged files, rotation and streams are treated
here as everywhere. Shapes: H W pixels.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from scenedetect.common import FrameTimecode
from scenedetect.detectors.content_detector import ContentDetector

from vcap.types import Segment
from vcap.video.decode import Size, Warn, iter_frames, silent
from vcap.video.frames_folder import first_picture, is_frames_folder
from vcap.video.probe import probe
from vcap.video.sample import Sampler

SHORT_SIDE = 144  # the detector compares mean colours; more pixels only cost time
MIN_SCENE_FRAMES = 15  # the detector's own default
LONE_FRAME_SECONDS = 0.04  # how long a single picture counts as shown
CLOCK_RATE = 25.0  # the detector counts frames; it wants some rate, and no result depends on it


def find_scenes(
    path: Path,
    *,
    segment: Segment | None = None,
    threshold: float = 27.0,
    stream: int | None = None,
    on_warning: Warn = silent,
) -> list[Segment]:
    """The shots of a video in order, each from its first frame to the first of the next.

    Args:
        path: a video; without cuts it is one shot.
        segment: the part to look at; None for all of it.
        threshold: mean change of hue, saturation and brightness, 0 to 255, that is a cut.
        stream: number of the video stream in the file; None for the best.
        on_warning: gets one sentence for each kind of damage.

    Raises:
        VideoError: as `iter_frames`.
    """
    is_folder = is_frames_folder(path)
    info = probe(first_picture(path)) if is_folder else probe(path, stream=stream)
    size = Size(short_side=min(SHORT_SIDE, info.width, info.height))
    detector = ContentDetector(threshold=threshold, min_scene_len=MIN_SCENE_FRAMES)
    times: list[float] = []
    cuts: set[int] = set()
    frames = iter_frames(
        path, Sampler("all"), segment=segment, size=size, stream=stream, on_warning=on_warning
    )
    for time, pixels in frames:
        clock = FrameTimecode(len(times), CLOCK_RATE)
        times.append(time)
        blue_first = np.ascontiguousarray(pixels[..., ::-1])  # [H, W, 3]
        cuts.update(cut.frame_num for cut in detector.process_frame(clock, blue_first))
    cuts.update(
        cut.frame_num for cut in detector.post_process(FrameTimecode(len(times), CLOCK_RATE))
    )
    return _segments(times, sorted(cuts), segment)


def _segments(times: list[float], cuts: list[int], segment: Segment | None) -> list[Segment]:
    """Segments between the cuts, which are numbers of frames."""
    last_gap = times[-1] - times[-2] if len(times) > 1 else LONE_FRAME_SECONDS
    end = times[-1] + last_gap
    if segment is not None:
        end = min(end, segment.end)
    borders = [times[0], *(times[cut] for cut in cuts if cut > 0), end]
    return [Segment(start, stop) for start, stop in pairwise(borders) if start < stop]
