"""From a scene to pixels.

The camera drifts slowly over the background and its sensor is a little noisy, so that no two
frames are equal. Only sums, products, roots and whole numbers are used: the same scene gives the
same bytes everywhere. Shapes: T frames, S side of the box around an object.
"""

import numpy as np
import numpy.typing as npt

from vcap.data.shapes.backgrounds import MARGIN, paint_background
from vcap.data.shapes.outlines import MARKS, OUTLINES, REACH
from vcap.data.shapes.scene import SIDE, Act, Dice, Scene
from vcap.data.shapes.turns import rotations

_PIXELS = 1  # purpose of the stream that drift and noise come from
_RIM = np.float32(1.0)  # width of the dark outline
_DARK, _PALE = 24, 244
_GRAIN = 5  # sensor noise in grey levels, at most
_TILE = SIDE + 64  # side of the noise that frames are cut from

Pixels = npt.NDArray[np.int16]


def draw(scene: Scene) -> npt.NDArray[np.uint8]:
    """The frames of a scene: [T, 96, 96, 3] uint8 RGB."""
    dice = scene.dice(_PIXELS)
    ground = paint_background(scene.ground_dice(), scene.background)
    frames = _pan(dice, ground, scene.num_frames)
    for act in (*scene.clutter, *scene.acts):
        _stamp(frames, act)
    _add_noise(dice, frames)
    return np.clip(frames, 0, 255, out=frames).astype(np.uint8)


def _pan(dice: Dice, ground: Pixels, num_frames: int) -> Pixels:
    """Cut the frames from the ground along a slow drift there and back."""
    frames = np.empty((num_frames, SIDE, SIDE, 3), dtype=np.int16)
    rows, columns = (_drift(dice, num_frames) for _ in range(2))
    for k, (row, column) in enumerate(zip(rows, columns, strict=True)):
        frames[k] = ground[row : row + SIDE, column : column + SIDE]
    return frames


def _drift(dice: Dice, num_frames: int) -> list[int]:
    """Offsets from 0 to twice the margin that go up and down, a pixel in some frames."""
    width, slow = 2 * MARGIN, dice.whole(4, 12)
    phase = dice.whole(0, 2 * width * slow - 1)
    places = [(phase + k) // slow % (2 * width) for k in range(num_frames)]
    return [min(place, 2 * width - place) for place in places]


def _add_noise(dice: Dice, frames: Pixels) -> None:
    pool = dice.generator.integers(-_GRAIN, _GRAIN + 1, (2, _TILE, _TILE), dtype=np.int16)
    tile = (pool[0] + pool[1]) // 2
    offsets = dice.generator.integers(0, _TILE - SIDE + 1, (len(frames), 2))
    for k, (row, column) in enumerate(offsets.tolist()):
        frames[k] += tile[row : row + SIDE, column : column + SIDE, None]


def _stamp(frames: Pixels, act: Act) -> None:
    """Draw an object into the frames in which it is seen."""
    shown = [(act.first + k, pose) for k, pose in enumerate(act.poses) if pose.seen]
    if not shown:
        return
    table = np.array([pose[:4] for _, pose in shown], dtype=np.float64)  # [T, 4]
    box = min(SIDE, 2 * int(table[:, 2].max() * REACH + 3.0))
    corners = np.clip(np.floor(table[:, :2]).astype(np.int64) - box // 2, 0, SIDE - box)  # [T, 2]
    outer, paint = _render(act, table, corners, box)
    bare = 1 - outer
    for k, ((column, row), (number, _)) in enumerate(zip(corners.tolist(), shown, strict=True)):
        view = frames[number, row : row + box, column : column + box]
        view[:] = view * bare[k, :, :, None] + paint[k] + np.float32(0.5)


def _render(
    act: Act, table: npt.NDArray[np.float64], corners: npt.NDArray[np.int64], box: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """How much of each pixel is covered [T, S, S], and the colour put there [T, S, S, 3]."""
    thing = act.thing
    u, v, radius = _local(table, corners, box)
    outside = OUTLINES[thing.shape](u, v, radius)
    outer = np.clip(np.float32(0.5) - outside, 0, 1)
    inner = np.clip(np.float32(0.5) - _RIM - outside, 0, 1)
    mark_u, mark_v, mark_size = (np.float32(value) for value in MARKS[thing.shape])
    du, dv = u - mark_u * radius, v - mark_v * radius
    mark = np.clip(np.float32(0.5) + mark_size * radius - np.sqrt(du * du + dv * dv), 0, 1) * inner
    luma = (299 * thing.rgb[0] + 587 * thing.rgb[1] + 114 * thing.rgb[2]) // 1000
    mark_grey = _DARK if luma > 125 else _PALE
    rim = (outer - inner) * np.float32(_DARK) + mark * np.float32(mark_grey)
    fill = inner - mark
    return outer, rim[..., None] + fill[..., None] * np.array(thing.rgb, dtype=np.float32)


def _local(
    table: npt.NDArray[np.float64], corners: npt.NDArray[np.int64], box: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Coordinates of the pixels as the object sees them, and its radius [T, 1, 1]."""
    line = np.arange(box, dtype=np.float32)
    shift = (corners + 0.5 - table[:, :2]).astype(np.float32)
    x = line[None, None, :] + shift[:, 0, None, None]
    y = line[None, :, None] + shift[:, 1, None, None]
    rotation = rotations(table[:, 3]).astype(np.float32)
    along, across = rotation[:, 0, None, None], rotation[:, 1, None, None]
    radius = table[:, 2].astype(np.float32)[:, None, None]
    return x * along + y * across, y * along - x * across, radius
