"""Pictures for a retrieval model: which of them a training needs, and how networks want them.

They stay bytes until they are where they are computed with.
Shapes: B videos, N candidate frames, H W pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vcap.engine.encoders import Preprocess
from vcap.engine.methods.retrieval_options import RetrievalOptions
from vcap.engine.run import Run
from vcap.engine.schedule import TrainConfig
from vcap.engine.training_data import Example
from vcap.errors import ConfigError, InputError
from vcap.features.store import FeatureStore
from vcap.models.clip import normalise
from vcap.video.sample import COUNTED, parse_sampler

if TYPE_CHECKING:
    from vcap.engine.pictures import PictureTable

TOWERS, POLICY = "clip", "policy"  # kinds of pictures


def usual_frames(
    examples: Sequence[Example], stores: Sequence[FeatureStore], config: TrainConfig
) -> int:
    """Candidate frames of a video where the config says nothing: the most that any video has.

    Raises:
        ConfigError: without features, the sampler does not tell.
    """
    if stores:
        names = [one.record.id for one in examples]
        return max(
            store.num_frames(name)
            for name in names
            for store in [next(store for store in stores if name in store)]
        )
    sampler = parse_sampler(config.sampler)
    if sampler.name in COUNTED and sampler.value is not None:
        return int(sampler.value)
    if "num_frames" in config.model:
        return int(config.model["num_frames"])
    raise ConfigError(f"model.num_frames: say how many, as the sampler {sampler} does not")


def picture_kinds(options: RetrievalOptions, preprocess: Preprocess) -> dict[str, Any]:
    """What pictures a training needs, by kind: sizes for the towers, looks for the policy."""
    from vcap.video.pictures import MOBILENET, raw

    kinds: dict[str, Any] = {}
    if options.towers == "both":
        kinds[TOWERS] = replace(preprocess.frame_size, exact=options.exact_pixels)
    if options.policy is not None and options.reads_pictures:
        kinds[POLICY] = MOBILENET if options.policy.uses_cnn else raw(options.policy.raw_side)
    return kinds


def picture_table(
    examples: Sequence[Example],
    config: TrainConfig,
    kinds: Mapping[str, Any],
    sampler: str,
    num_frames: int,
    run: Run,
) -> "PictureTable":
    """The pictures of a split; records without a video are left out, and counted in a warning.

    Raises:
        InputError: no record has a video.
    """
    from vcap.engine.pictures import PictureTable

    there = [one for one in examples if one.record.path is not None]
    absent = [one.record.id for one in examples if one.record.path is None]
    if not there:
        raise InputError(
            f"none of {len(absent)} records has a video here, such as {absent[0]}; this training "
            "looks at pictures",
            hint="--set options.policy.encoder=features --set options.towers=none",
        )
    if absent:
        run.reporter.warn(
            f"{len(absent)} of {len(examples)} records have no video here, such as {absent[0]}; "
            "left out"
        )
    cache = config.data.cache
    return PictureTable(there, parse_sampler(sampler), num_frames, kinds, cache, run)


def for_towers(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """Pictures [B, N, H, W, 3] uint8 as the image tower takes them, [B, N, 3, H, W]."""
    flat = normalise(pixels.flatten(0, 1), preprocess.mean, preprocess.std)  # [B*N, 3, H, W]
    return flat.view(*pixels.shape[:2], *flat.shape[1:])
