"""The work of `caption` on videos: decode in many threads, caption in one.

Shapes: T frames, D feature width.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from vcap.data.records import Caption
from vcap.engine.decoding import Chunks, part_chunks, start
from vcap.engine.fingerprint import weights_digest
from vcap.engine.inputs import Source
from vcap.engine.reporter import Reporter
from vcap.engine.segments import Cutter, parse_seconds
from vcap.errors import InputError, UsageError
from vcap.types import FrameFeatures, Segment

if TYPE_CHECKING:
    from vcap.engine.captioner import Captioner
    from vcap.models.generation import GenerationSettings
    from vcap.video.parts import Part

Made = dict[str, Any]  # what is learnt from a video: captions, model, duration, warnings
Prediction = dict[str, Any]


@dataclass(frozen=True)
class Manner:
    """How a video is captioned.

    Attributes:
        every: seconds of each segment that gets a caption; None for no such cut.
        scenes: the segments are the video's shots.
        num_beams: width of the search; None for the model's own.
        stream: number of the video stream in each file; None for the best.
    """

    every: float | None = None
    scenes: bool = False
    num_beams: int | None = None
    stream: int | None = None


def manner(
    every: str | float | None = None,
    scenes: bool = False,
    num_beams: int | None = None,
    stream: int | None = None,
) -> Manner:
    """What the options amount to; `every` may be written as `10s` or `1m`.

    Raises:
        UsageError: they contradict each other, or make no sense.
    """
    if every is not None and scenes:
        raise UsageError("--every and --scenes contradict each other; give one of them")
    seconds = None if every is None else parse_seconds(str(every))
    return Manner(seconds, scenes, num_beams, stream)


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


class CaptionVideos:
    """The work on videos: decode in many threads, caption in one.

    Attributes:
        num_far: videos so far that look unlike anything the model was trained on.
    """

    def __init__(
        self, captioner: "Captioner", how: Manner, reporter: Reporter, alone: bool = False
    ) -> None:
        """Where there is one video only, which then is `alone`, it may use several threads."""
        self.num_far = 0
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
            "generation": asdict(self._generation()),
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
        """What is learnt from each video; all their segments are captioned together."""
        clips: list[list[Clip] | InputError] = []
        for each in prepared:
            try:
                clips.append(self._clips(each))
            except InputError as error:
                clips.append(error)
            for warning in each.chunks.warnings:
                self._reporter.warn(f"{each.source.id}: {warning}")
        good = [own for own in clips if not isinstance(own, InputError)]
        features = [clip.features for own in good for clip in own]
        made = iter(self._captioner.generate(features, self._generation()))
        results: list[Made | InputError] = []
        for each, own in zip(prepared, clips, strict=True):
            if isinstance(own, InputError):
                results.append(own)
                continue
            captions = [_caption(clip.segment, next(made)[0], each.source) for clip in own]
            results.append(self._made(each, captions))
            self.num_far += self._is_far(own)
        return results

    def _generation(self) -> "GenerationSettings":
        own = self._captioner.settings
        beams = self._how.num_beams
        return own if beams is None else replace(own, num_beams=beams, strategy="beam")

    def _clips(self, prepared: Prepared) -> list[Clip]:
        """Features of each segment of a video."""
        found: list[tuple[Segment | None, list[Any], list[Any]]] = []
        for chunk in prepared.chunks:
            for (segment, frames), rows in zip(chunk, self._features(chunk), strict=True):
                if not found or found[-1][0] != segment:
                    found.append((segment, [], []))
                found[-1][1].append(rows)
                found[-1][2].append(frames.times)
        return [
            Clip(segment, FrameFeatures(np.concatenate(rows), np.concatenate(times)))
            for segment, rows, times in found
        ]

    def _features(self, chunk: "Iterable[Part]") -> list[Any]:
        """Features of each part of a chunk; all go through the encoder together."""
        frames = [own for _, own in chunk]
        features = self._captioner.encoder.encode_frames(
            np.concatenate([own.pixels for own in frames])
        )
        return np.split(features, np.cumsum([len(own.times) for own in frames])[:-1])

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


def _caption(segment: Segment | None, best: Any, source: Source) -> Caption:
    """A caption, with times where it is about a segment that is not the record's own."""
    values: dict[str, Any] = {"text": best.text}
    if segment is not None and segment != source.segment:
        values |= {"start": round(segment.start, 3), "end": round(segment.end, 3)}
    return Caption.model_validate({**values, "score": best.score})
