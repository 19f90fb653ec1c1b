"""When each frame of a video is shown, learnt without decoding it where the file allows.

The container's own index is not used: in WebM and Matroska it is incomplete.
Shapes: F frames, K keyframes.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt

from vcap.video.source import Source

LARGEST_TICKS = 2**53  # beyond this a time no longer fits a float exactly


@dataclass(frozen=True)
class Timeline:
    """Frames of a stream in the order in which they are shown.

    Attributes:
        times: [F] presentation times in seconds, ascending.
        is_keyframe: [F], True where decoding can start.
        end_time: when the last frame stops being shown, seconds.
        num_packets: packets that were read.
        pts: [F] times in ticks; empty where the frames had to be decoded to learn them.
        order: place in the file of every packet, by its pts.
        keys: [K] pts of the keyframes, ascending, those that are not shown included.
        seek_ticks: decoding time of each keyframe, by its pts; what containers seek by.
    """

    times: npt.NDArray[np.float64]
    is_keyframe: npt.NDArray[np.bool_]
    end_time: float
    num_packets: int
    pts: list[int] = field(default_factory=list)
    order: dict[int, int] = field(default_factory=dict)
    keys: list[int] = field(default_factory=list)
    seek_ticks: dict[int, int] = field(default_factory=dict)

    def keyframe_before(self, pts: int) -> int:
        """The pts of the keyframe from which the frame at `pts` can be decoded."""
        return self.keys[max(bisect_right(self.keys, pts) - 1, 0)]


class _Packet(NamedTuple):
    """What is kept of a packet while the file is read."""

    pts: int
    seek_ticks: int
    duration: int
    is_keyframe: bool
    is_hidden: bool


def read_timeline(source: Source) -> Timeline | None:
    """Read all packets without decoding; None where their times cannot be relied on."""
    packets = _read_packets(source)
    order = {packet.pts: place for place, packet in enumerate(packets)}
    shown = sorted(packet for packet in packets if not packet.is_hidden)
    keys = sorted(packet for packet in packets if packet.is_keyframe)
    if not shown or not keys or source.num_read_errors or len(order) != len(packets):
        return None
    base = source.time_base
    ticks = np.array([packet.pts for packet in shown], dtype=np.int64)  # [F]
    return Timeline(
        times=ticks * base.numerator / base.denominator,
        is_keyframe=np.array([packet.is_keyframe for packet in shown], dtype=np.bool_),
        end_time=_end_time(source, shown),
        num_packets=len(packets),
        pts=[packet.pts for packet in shown],
        order=order,
        keys=[packet.pts for packet in keys],
        seek_ticks={packet.pts: packet.seek_ticks for packet in keys},
    )


def _read_packets(source: Source) -> list[_Packet]:
    """Packets in the order of the file; none at all where one lacks a usable time."""
    packets: list[_Packet] = []
    largest = LARGEST_TICKS // source.time_base.numerator
    is_vp8 = source.stream.codec_context.name == "vp8"
    for packet in source.packets():
        pts = packet.pts
        if pts is None or packet.is_corrupt or abs(pts) > largest:
            return []
        dts = pts if packet.dts is None else packet.dts
        hidden = packet.is_discard or (is_vp8 and _is_hidden(packet))
        ticks = dts if dts < pts else pts
        packets.append(_Packet(pts, ticks, packet.duration or 0, packet.is_keyframe, hidden))
    return packets


def _is_hidden(packet: av.Packet) -> bool:
    """Whether a VP8 packet holds a picture that others refer to but that is never shown."""
    return not memoryview(packet)[0] & 0x10


def _end_time(source: Source, shown: list[_Packet]) -> float:
    """When the last frame ends: by its own duration, or the mean distance of frames."""
    last = shown[-1]
    if source.is_image:
        return source.seconds(last.pts)
    mean_distance = round((last.pts - shown[0].pts) / max(1, len(shown) - 1))
    return source.seconds(last.pts + (last.duration or mean_distance))
