"""The work of `caption` on videos: decode in many threads, caption in one.

Shapes: T frames, D feature width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vcap.data.records import Caption
from vcap.engine.batches import FullBatches
from vcap.engine.caption_words import (
    OF_THE_MODEL,
    WordSettings,
    caption_clips,
    check_words,
    settled,
)
from vcap.engine.decoding import Chunks, part_chunks, start
from vcap.engine.fingerprint import weights_digest
from vcap.engine.inputs import Source
from vcap.engine.reporter import Reporter
from vcap.engine.segments import Cutter, parse_seconds
from vcap.errors import InputError, UsageError
from vcap.types import FrameFeatures, Segment

if TYPE_CHECKING:
    from vcap.engine.captioner import Captioner
    from vcap.video.parts import Part

Made = dict[str, Any]  # what is learnt from a video: captions, model, duration, warnings
Prediction = dict[str, Any]


@dataclass(frozen=True)
class Manner:
    """How a video is captioned.

    Attributes:
        every: seconds of each segment that gets a caption; None for no such cut.
        scenes: the segments are the video's shots.
        stream: number of the video stream in each file; None for the best.
        words: how captions are worded.
    """

    every: float | None = None
    scenes: bool = False
    stream: int | None = None
    words: WordSettings = OF_THE_MODEL


def manner(
    every: str | float | None = None,
    scenes: bool = False,
    stream: int | None = None,
    words: WordSettings = OF_THE_MODEL,
) -> Manner:
    """What the options amount to; `every` may be written as `10s` or `1m`.

    Raises:
        UsageError: they contradict each other, or make no sense.
    """
    if every is not None and scenes:
        raise UsageError("--every and --scenes contradict each other; give one of them")
    check_words(words)
    seconds = None if every is None else parse_seconds(str(every))
    return Manner(seconds, scenes, stream, words)


@dataclass(frozen=True)
class Prepared:
    """A video on its way to the model."""

    source: Source
    cutter: Cutter
    chunks: "Chunks[list[Part]]"


@dataclass(frozen=True)
class Clip:
    """Features of a segment, or of all that there is to see."""

    segment: Segment | None
    features: FrameFeatures


Shown = tuple[Segment | None, npt.NDArray[np.float64]]  # a segment, times [T] of its frames


class CaptionVideos:
    """The work on videos: decode in many threads, caption in one.

    Attributes:
        num_far: videos so far that look unlike anything the model was trained on.
        num_short: videos so far with fewer captions than asked for, in a segment at least.
    """

    def __init__(
        self, captioner: "Captioner", how: Manner, reporter: Reporter, alone: bool = False
    ) -> None:
        """Where there is one video only, which then is `alone`, it may use several threads.

        Raises:
            UsageError: what is asked of the words is not what the model can do.
        """
        self.num_far = self.num_short = 0
        self._settings = settled(how.words, captioner.settings)
        self._alone = alone
        self._captioner = captioner
        self._how = how
        self._reporter = reporter

    def made_by(self) -> dict[str, Any]:
        """Everything that changes a caption."""
        captioner = self._captioner
        encoder = {k: v for k, v in captioner.encoder.fingerprint.items() if k != "name"}
        named = {} if self._how.stream is None else {"stream": self._how.stream}
        return {
            "weights": weights_digest(captioner.model.state_dict()),
            "encoder": encoder,
            "sampler": str(captioner.sampler),
            "generation": asdict(self._settings),
            "every": self._how.every,
            "scenes": self._how.scenes,
            **named,
        }

    def prepare(self, source: Source) -> Prepared:
        """Decode the first chunk, and find the shots where they are wanted.

        Raises:
            VideoError: no frame decodes.
        """
        scenes, stream = None, self._how.stream
        if self._how.scenes:
            from vcap.video.scenes import find_scenes

            scenes = find_scenes(source.path, segment=source.segment, stream=stream)
        cutter = Cutter(source.segment, self._how.every, scenes)
        sampler, size = self._captioner.sampler, self._captioner.encoder.size
        how: dict[str, Any] = {"stream": stream, "alone": self._alone}
        chunks = start(partial(part_chunks, source, sampler, cutter, size, **how))
        return Prepared(source, cutter, chunks)

    def work(self, prepared: list[Prepared]) -> list[Made | InputError]:
        """What is learnt from each video; all their frames and all their segments share batches."""
        clips = self._clips(prepared)
        good = [own for own in clips if not isinstance(own, InputError)]
        features = [clip.features for own in good for clip in own]
        made = iter(caption_clips(self._captioner, features, self._settings))
        results: list[Made | InputError] = []
        for each, own in zip(prepared, clips, strict=True):
            if isinstance(own, InputError):
                results.append(own)
                continue
            said = [(clip.segment, next(made)) for clip in own]
            captions = [
                _caption(segment, one, each.source) for segment, some in said for one in some
            ]
            results.append(self._made(each, captions))
            self.num_far += self._is_far(own)
            self.num_short += any(len(some) < self._settings.num_return for _, some in said)
        return results

    def _clips(self, prepared: Sequence[Prepared]) -> "list[list[Clip] | InputError]":
        """The clips of each video, or why it fails."""
        batches = FullBatches(self._captioner.encoder)
        read = [self._read(each, batches) for each in prepared]
        return [
            own if isinstance(own, InputError) else _cut(own, rows)
            for own, rows in zip(read, batches.finish(), strict=True)
        ]

    def _read(self, prepared: Prepared, batches: FullBatches) -> list[Shown] | InputError:
        """Send the frames of a video on; gives its segments with their times, or why it fails."""
        shown: list[Shown] = []
        batches.begin()
        try:
            for segment, frames in (part for chunk in prepared.chunks for part in chunk):
                batches.add(frames.pixels)
                if shown and shown[-1][0] == segment:
                    shown[-1] = (segment, np.concatenate([shown[-1][1], frames.times]))
                else:
                    shown.append((segment, frames.times))
        except InputError as error:
            return error
        finally:
            for warning in prepared.chunks.warnings:
                self._reporter.warn(f"{prepared.source.id}: {warning}")
        return shown

    def _is_far(self, clips: Sequence[Clip]) -> bool:
        limit = self._captioner.threshold
        if limit is None:
            return False
        return any(self._captioner.distance(clip.features.features) > limit for clip in clips)

    def _made(self, prepared: Prepared, captions: list[Caption]) -> Made:
        duration = round(prepared.cutter.duration, 3)
        warnings = {"warnings": prepared.chunks.warnings} if prepared.chunks.warnings else {}
        return {
            "captions": [caption.dump() for caption in captions],
            "model": self._captioner.name,
            **({"duration": duration} if duration else {}),
            **warnings,
        }


def prediction(source: Source, made: Mapping[str, Any]) -> Prediction:
    """The record of a video with captions in the place of what was known of it.

    The record is that of this run, also where the captions are those of an earlier one.
    """
    captions = [Caption.model_validate(each) for each in made["captions"]]
    duration = source.record.duration or made.get("duration")
    record = source.record.model_copy(
        update={"path": str(source.path), "duration": duration, "captions": captions}
    )
    warnings = {"warnings": made["warnings"]} if "warnings" in made else {}
    return {**record.dump(), "model": made["model"], **warnings}


def _cut(shown: Sequence[Shown], rows: npt.NDArray[np.float16]) -> list[Clip]:
    """The features [T, D] of a video as clips."""
    ends = np.cumsum([len(times) for _, times in shown])
    parts = np.split(rows, ends[:-1])
    return [
        Clip(segment, FrameFeatures(part.astype(np.float32), times))
        for (segment, times), part in zip(shown, parts, strict=True)
    ]


def _caption(segment: Segment | None, best: Any, source: Source) -> Caption:
    """A caption, with times where it is about a segment that is not the record's own."""
    values: dict[str, Any] = {"text": best.text}
    if segment is not None and segment != source.segment:
        values |= {"start": round(segment.start, 3), "end": round(segment.end, 3)}
    return Caption.model_validate({**values, "score": best.score})
