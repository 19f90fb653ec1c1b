"""The fast way through a video: decode only what the wanted frames depend on.

Two savings, both exact. Groups of pictures without a wanted frame are not decoded at all; and
within a group the pictures that no other depends on are skipped unless they are wanted.
"""

from collections import deque
from collections.abc import Iterator

import av

from vcap.video.source import Source
from vcap.video.timeline import Timeline

JUMP_PACKETS = 8  # fewer are decoded faster than the decoder is emptied
SEEK_PACKETS = 64  # fewer are read over faster than a container seeks
HVCC_LAYERS_BYTE = 21


class PlanFailed(Exception):
    """The file does not behave as its packets said; decode it from start to end."""


def walk(source: Source, timeline: Timeline, wanted: list[int]) -> Iterator[av.VideoFrame]:
    """Exactly the frames with the wanted pts, in order.

    Args:
        source: freshly opened.
        timeline: what `read_timeline` said about it.
        wanted: pts of frames, ascending, none twice, at least one.

    Raises:
        PlanFailed: a wanted frame did not come out, or not cleanly.
    """
    walker = _Walker(source, timeline, wanted)
    for frame in walker.frames():
        pts = frame.pts
        if pts is None or frame.is_corrupt or pts > walker.waiting[0]:
            raise PlanFailed
        if pts == walker.waiting[0]:
            yield frame
            if not walker.advance():
                return
    raise PlanFailed


def walk_keyframes(
    source: Source, timeline: Timeline, wanted: list[int]
) -> Iterator[av.VideoFrame]:
    """As `walk` where every wanted frame is a keyframe: one packet is decoded for each."""
    walker = _Walker(source, timeline, wanted)
    for pts in wanted:
        frames = walker.keyframe(pts)
        if [frame.pts for frame in frames] != [pts] or frames[0].is_corrupt:
            raise PlanFailed
        yield frames[0]


class _Walker:
    """Where the reading stands, and the wanted frames that have not come out yet."""

    def __init__(self, source: Source, timeline: Timeline, wanted: list[int]) -> None:
        self._source = source
        self._timeline = timeline
        self._decoder = source.stream.codec_context
        self._wanted = frozenset(wanted)
        self._may_skip = _skips_exactly(self._decoder)
        self._next = 0  # place in the file of the packet to be decoded next
        self._packets = source.packets()
        self.waiting = deque(wanted)
        self._key = timeline.keyframe_before(wanted[0])

    def advance(self) -> bool:
        """Go on to the next wanted frame; False where there is none."""
        self.waiting.popleft()
        if self.waiting:
            self._key = self._timeline.keyframe_before(self.waiting[0])
        return bool(self.waiting)

    def frames(self) -> Iterator[av.VideoFrame]:
        """What the decoder gives, of which the wanted frames are a part."""
        try:
            while (packet := self._next_packet()) is not None:
                if self._may_skip:
                    self._decoder.skip_frame = "DEFAULT" if packet.pts in self._wanted else "NONREF"
                yield from self._decoder.decode(packet)
            yield from self._decoder.decode(None)
        except av.FFmpegError as error:
            raise PlanFailed from error

    def keyframe(self, pts: int) -> list[av.VideoFrame]:
        """What the decoder makes of this packet alone."""
        self._key = pts
        try:
            packet = self._next_packet(jump_over=0)
            frames: list[av.VideoFrame] = self._decoder.decode(packet) if packet else []
            frames += self._decoder.decode(None)
            self._decoder.flush_buffers()
            return frames
        except av.FFmpegError as error:
            raise PlanFailed from error

    def _next_packet(self, jump_over: int = JUMP_PACKETS) -> av.Packet | None:
        """The packet to decode next, after a jump where one saves work."""
        ahead = self._timeline.order[self._key] - self._next
        if ahead > jump_over:
            self._jump(ahead)
        for packet in self._packets:
            place = self._timeline.order.get(packet.pts, -1)
            if place > self._next or place < 0:
                raise PlanFailed
            if place == self._next:
                self._next += 1
                return packet
        return None

    def _jump(self, ahead: int) -> None:
        """Make the keyframe of the next wanted frame the next packet to decode."""
        if ahead > SEEK_PACKETS:
            ticks = self._timeline.seek_ticks[self._key]
            self._source.container.seek(ticks, stream=self._source.stream)
            self._packets = self._source.packets()
        self._decoder.flush_buffers()
        self._next = self._timeline.order[self._key]


def _skips_exactly(decoder: av.VideoCodecContext) -> bool:
    """Whether the pictures this decoder calls non-reference are never referred to.

    In HEVC that holds only without temporal layers, whose number stands in the hvcC record.
    """
    if decoder.name == "h264":
        return True
    record = decoder.extradata or b""
    if decoder.name != "hevc" or len(record) <= HVCC_LAYERS_BYTE or record[0] != 1:
        return False
    return (record[HVCC_LAYERS_BYTE] >> 3) & 7 == 1
