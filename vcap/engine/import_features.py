"""Feature files of other programs, brought into a feature store.

The HDF5 file of the MSR-VTT system and ClipCap's pickle. Neither says what made it: the store says
what the user says, or what such files usually are. Nothing can check this but the width.
Shapes: T frames, D feature width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vcap.engine.encode import EncodeSettings, OnEncoded, Teller, settings_digest, split_options
from vcap.engine.executor import Local
from vcap.engine.fingerprint import file_identity
from vcap.engine.items import Item, Summary, map_items
from vcap.engine.registry import USUAL_ENCODERS, nearest
from vcap.engine.reporter import Reporter, Silent
from vcap.engine.store_output import SHARD_SIZE, Encoded, StoreOutput
from vcap.errors import FeatureError, InputError, UsageError
from vcap.features.clipcap import PictureFeatures, read_clipcap
from vcap.features.hdf5 import Hdf5Features, is_hdf5
from vcap.video.sample import parse_sampler

VIDEO_SAMPLER, PICTURE_SAMPLER = "msrvtt-notebook 28", "uniform 1"


class Reader(Protocol):
    """An open feature file."""

    @property
    def ids(self) -> list[str]:
        """What it has features of."""
        ...

    @property
    def kind(self) -> tuple[int, str]:
        """D, and the number type."""
        ...

    def read(self, video_id: str, /) -> npt.NDArray[Any]:
        """Features [T, D]."""
        ...


@dataclass(frozen=True)
class Stored:
    """Features that lie in a file under an id."""

    id: str
    path: Path
    reader: Reader


def gather_features(paths: Sequence[str | Path], *, limit: int | None = None) -> list[Stored]:
    """What the feature files hold, in the order of the files.

    Raises:
        FeatureError: one is damaged, holds anything but data, or an id comes twice.
    """
    found: list[Stored] = []
    for path in dict.fromkeys(Path(name).absolute() for name in paths):
        if not path.is_file():
            raise InputError(f"no such file: {path}")
        reader = Hdf5Features(path) if is_hdf5(path) else read_clipcap(path)
        found += [Stored(name, path, reader) for name in reader.ids]
    first: dict[str, Path] = {}
    for one in found:
        if first.setdefault(one.id, one.path) != one.path:
            raise FeatureError(f"{one.id} is in {first[one.id]} and in {one.path}")
    return list(islice(found, limit))


def assumed(things: Sequence[Stored], settings: EncodeSettings) -> EncodeSettings:
    """The settings with encoder and sampler as the files' kinds suggest, where none are given.

    Raises:
        UsageError: there is nothing to go by, or a setting that only videos have.
    """
    given = settings.model_fields_set
    for name in ("features", "stream", "exact_pixels", "fast_frames"):
        if getattr(settings, name) != EncodeSettings.model_fields[name].default:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} says how to encode; with --import nothing is encoded")
    reader = things[0].reader
    width = reader.kind[0]
    if "model" not in given and width not in USUAL_ENCODERS:
        raise UsageError(
            f"{things[0].path} does not say which encoder made its features, {width} wide",
            hint="--model NAME",
        )
    usual = PICTURE_SAMPLER if isinstance(reader, PictureFeatures) else VIDEO_SAMPLER
    more = {"model": USUAL_ENCODERS.get(width), "sampler": usual}
    new = {name: value for name, value in more.items() if name not in given}
    return settings.model_copy(update=new)


def import_features(
    things: Sequence[Stored],
    output: Path | str,
    *,
    reporter: Reporter | None = None,
    on_result: OnEncoded | None = None,
    **options: Any,
) -> Summary:
    """Put features of other programs into a store.

    Args:
        things: what `gather_features` found.
        output: folder of the store; made if absent.
        options: as of `encode`; `model` and `sampler` say what made the features.

    Raises:
        FeatureError: the store holds features of another encoder, or the encoder that is named
            gives features of another width.
        UsageError: no encoder is named so.
    """
    settings, rules = split_options(options)
    settings = assumed(things, settings)
    checksum = rules.pop("checksum", False)
    reporter = reporter or Silent()
    reporter.info(
        f"taken to be of the encoder {settings.model}, frames by {settings.rule}; "
        "if not, say it with --model and --sampler"
    )
    width, kind = things[0].reader.kind
    made_by = said_to_be_from(settings, width, kind)
    identities = {path: file_identity(path, checksum) for path in {one.path for one in things}}
    items = [Item(one.id, one, {"id": one.id, **identities[one.path]}) for one in things]
    teller = Teller(on_result)
    summary = map_items(
        items,
        Importer(width, settings.sampler).work,
        output=StoreOutput(Path(output), made_by, width, reporter, settings.shard_size),
        group=SHARD_SIZE,
        executor=Local(1),
        fingerprint=settings_digest(made_by),
        on_result=teller.tell,
        reporter=reporter,
        title="import",
        unit="videos",
        **rules,
    )
    teller.tell_kept(items, Path(output), summary)
    return summary


def said_to_be_from(settings: EncodeSettings, width: int, kind: str) -> dict[str, Any]:
    """The fingerprint of a store of imported features.

    Weights of encoders that vcap did not train are not looked at: they need not be here.

    Raises:
        FeatureError: the encoder gives features of another width.
        UsageError: no encoder is named so.
    """
    name = settings.model
    own = _own_fingerprint(name, width)
    encoder = own or {"name": name, "features": settings.features, "dtype": kind}
    return {"encoder": encoder, "sampler": settings.rule, "imported": name}


def _own_fingerprint(name: str, width: int) -> dict[str, Any] | None:
    """The fingerprint of an encoder that is on this machine anyway; None for another one."""
    if name == "tiny" or Path(name).expanduser().is_dir():
        from vcap.engine.encoders import load_encoder

        encoder = load_encoder(name)
        _check_width(name, encoder.width, width)
        return encoder.fingerprint
    if not name.startswith("hf:"):
        _check_width(name, _open_clip_width(name), width)
    return None


def _open_clip_width(name: str) -> int:
    usual = {own: width for width, own in USUAL_ENCODERS.items()}
    if name in usual:
        return usual[name]
    import open_clip  # takes seconds

    config = open_clip.get_model_config(name.partition(":")[0])
    if config is None:
        known = ["tiny", *(":".join(pair) for pair in open_clip.list_pretrained())]
        raise UsageError(f"no encoder named {name}; {nearest(name, known)}")
    return int(config["embed_dim"])


def _check_width(name: str, gives: int, width: int) -> None:
    if gives != width:
        raise FeatureError(
            f"features {width} wide are not of the encoder {name}, which gives {gives}",
            hint="--model NAME",
        )


class Importer:
    """Reads features and gives them the times that the sampler implies, else one a second."""

    def __init__(self, width: int, sampler: str) -> None:
        rule = parse_sampler(sampler)
        self._width = width
        self._rate = float(rule.value or 1.0) if rule.name == "fps" else 1.0

    def work(self, things: list[Stored]) -> list[Encoded | InputError]:
        """Features and times of each; an error where they cannot be kept."""
        return [self._read(one) for one in things]

    def _read(self, one: Stored) -> Encoded | InputError:
        try:
            features = one.reader.read(one.id)  # [T, D]
        except FeatureError as error:
            return error
        if features.shape[1] != self._width:
            return FeatureError(f"{one.id}: {features.shape[1]} wide among features {self._width}")
        with np.errstate(over="ignore"):
            small = features.astype(np.float16)  # [T, D]
        if not np.isfinite(small).all():
            return FeatureError(f"{one.id}: not finite, or too large for float16")
        return Encoded(small, np.arange(len(small), dtype=np.float32) / np.float32(self._rate))
