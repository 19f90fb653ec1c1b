"""Image and text encoders by name, each with its own preprocessing.

    tiny                     embedded
    ViT-B-32:openai          open_clip's name and weights (fetched once), or a weights file
    FOLDER                   of vcap (a model or the run that made it) or of open_clip
    hf:ORG/NAME              an open_clip model on the model hub
    FILE.pth                 CLIP as the original AdaCLIP has trained it along

A vcap encoder folder holds `config.json` (`encoder_config`), `model.safetensors`, `tokenizer.json`.
Shapes: T frames, H W pixels, D embedding width, N texts, L tokens.
"""

import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vcap.engine import registry
from vcap.engine.fingerprint import weights_digest
from vcap.engine.number_types import fastest_dtype
from vcap.engine.weights import load_weights, own_encoder_folder, read_config, read_weights
from vcap.errors import CheckpointError, UnavailableError, UsageError, VcapError
from vcap.video.picture import Size

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
GRID_SIDE = 3
BATCH_SIZE = 16  # of vcap's own encoders, which are small
LARGE_BATCH = 32  # of others on a processor; more gains nothing
GPU_BATCH = 128


@dataclass(frozen=True)
class Preprocess:
    """How a decoded frame becomes what the image tower takes.

    Attributes:
        size: side of the square in pixels.
        mean: per colour, of values from 0 to 1.
        std: per colour.
        interpolation: of the resize, `bicubic` or `bilinear`.
        resize_mode: `shortest` (short side, then a centre crop) or `squash`.
    """

    size: int = 96
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    def __post_init__(self) -> None:
        """Refuse what frames cannot be brought to."""
        if self.resize_mode not in ("shortest", "squash"):
            raise ValueError(f"resize_mode: want shortest or squash, got {self.resize_mode}")
        _ = self.frame_size

    @property
    def frame_size(self) -> Size:
        """What frames have to be resized to."""
        if self.resize_mode == "squash":
            return Size(self.size, self.size, interpolation=self.interpolation)
        return Size(short_side=self.size, crop=True, interpolation=self.interpolation)


class ClipEncoder:
    """Satisfies `types.Encoder`; also encodes sentences.

    Frames go through in batches of one fixed size, the last filled up with black ones, so that a
    frame's numbers do not depend on how many others there are. The weights are converted once to
    the number type; autocast and compilation were measured to gain nothing on processors.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        preprocess: Preprocess,
        tokenize: "Callable[[Sequence[str]], torch.Tensor]",
        *,
        features: str = "embedding",
        device: "torch.device | str" = "cpu",
        dtype: "torch.dtype | str | None" = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        import torch

        if features not in registry.FEATURES:
            raise UsageError(f"features: want {' or '.join(registry.FEATURES)}, got {features}")
        self.name = name
        self.preprocess = preprocess
        self.features = features
        self.batch_size = batch_size
        self._weights = weights_digest(model.state_dict())
        self._quick_gelu = any(type(part).__name__ == "QuickGELU" for part in model.modules())
        self._dtype = torch_dtype(dtype, device)
        self._device = torch.device(device)
        self._model = model.to(device=device, dtype=self._dtype).eval().requires_grad_(False)
        self._tokenize = tokenize
        black = np.zeros((1, preprocess.size, preprocess.size, 3), np.uint8)
        self._width = int(self._forward(black).shape[1])

    @property
    def width(self) -> int:
        """D, the width of a feature."""
        return self._width

    @property
    def dtype(self) -> "torch.dtype":
        """The number type that it computes in."""
        return self._dtype

    @property
    def size(self) -> Size:
        """What frames have to be resized to."""
        return self.preprocess.frame_size

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the features; the name is told along, as one encoder may lie anywhere."""
        preprocess = {key: _plain(value) for key, value in asdict(self.preprocess).items()}
        return {
            "name": self.name,
            "weights": self._weights,
            "quick_gelu": self._quick_gelu,
            "preprocess": preprocess,
            "features": self.features,
            "dtype": str(self._dtype).removeprefix("torch."),
        }

    def encode_frames(self, pixels: Pixels) -> Features:
        """pixels [T, H, W, 3] uint8 -> features [T, D], projected, not normalised.

        Raises:
            ValueError: frames of another size than `size`.
        """
        side = self.preprocess.size
        if pixels.shape[1:] != (side, side, 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"want uint8 [T, {side}, {side}, 3], got {pixels.dtype} {[*pixels.shape]}"
            )
        # Results are fetched at the end: a GPU then copies a batch in while it computes another.
        parts = [
            self._forward(pixels[start : start + self.batch_size])
            for start in range(0, len(pixels), self.batch_size)
        ]
        fetched = [np.asarray(part.cpu().numpy(), dtype=np.float32) for part in parts]
        return np.concatenate(fetched) if fetched else np.zeros((0, self.width), np.float32)

    def _forward(self, pixels: Pixels) -> "torch.Tensor":
        """At most a batch of frames [t, H, W, 3] -> [t, D] float32, still on the device."""
        import torch

        from vcap.models import clip

        missing = self.batch_size - len(pixels)
        full = np.pad(pixels, ((0, missing), (0, 0), (0, 0), (0, 0)))  # [batch, H, W, 3]
        with torch.inference_mode():
            batch = self._on_device(torch.from_numpy(full))  # [batch, H, W, 3]
            pictures = clip.normalise(batch, self.preprocess.mean, self.preprocess.std)
            pictures = pictures.to(self._dtype)  # [batch, 3, H, W]
            if self.features == "grid":
                pooled, grid = clip.grid_features(self._model.visual, pictures, GRID_SIDE)
                out = torch.cat([pooled, grid.flatten(1)], dim=1)  # [batch, D]
            else:
                out = self._model.encode_image(pictures)  # [batch, D]
            found: torch.Tensor = out[: len(pixels)].float()  # [t, D]
        return found

    def _on_device(self, batch: "torch.Tensor") -> "torch.Tensor":
        """The batch where it is computed; to a GPU it is copied while that is still busy."""
        if self._device.type != "cuda":
            return batch.to(self._device)
        return batch.pin_memory().to(self._device, non_blocking=True)

    @property
    def towers(self) -> Any:
        """Both towers, a model of open_clip's kinds."""
        return self._model

    def tokens(self, texts: Sequence[str]) -> "torch.Tensor":
        """N sentences -> ids [N, L] over the whole context, on the device of the towers."""
        rows: torch.Tensor = self._tokenize(list(texts)).to(self._device)  # [N, L]
        return rows

    def fills_context(self, text: str) -> bool:
        """Whether a sentence takes the last place for a token: what followed is not read."""
        last, empty = self._tokenize([text, ""])[:, -1]  # []
        return bool(last != empty)

    def encode_text(self, texts: Sequence[str]) -> Features:
        """N sentences -> embeddings [N, D] of the space that `embedding` features lie in."""
        import torch

        parts = []
        for start in range(0, len(texts), self.batch_size):
            some = list(texts[start : start + self.batch_size])
            filled = some + [""] * (self.batch_size - len(some))
            with torch.inference_mode():
                out = self._model.encode_text(self._tokenize(filled).to(self._device))
            parts.append(out[: len(some)].float().cpu().numpy())
        width = self._model.visual.output_dim if not parts else parts[0].shape[1]
        return np.concatenate(parts) if parts else np.zeros((0, width), np.float32)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def torch_dtype(name: "torch.dtype | str | None", device: "torch.device | str") -> "torch.dtype":
    """The type that weights are kept in; none given: float32.

    Raises:
        UsageError: an unknown name.
        DeviceError: the device cannot compute in it.
    """
    import torch

    from vcap.engine.run import choose_dtype

    return name if isinstance(name, torch.dtype) else choose_dtype(name or "auto", device)


def encoder_config(tower: Any, preprocess: Preprocess) -> dict[str, Any]:
    """The content of a vcap encoder folder's `config.json`; tower is a `TowerConfig`."""
    from vcap import __version__

    return {
        "vcap_version": __version__,
        "method": "encoder",
        "model": asdict(tower),
        "preprocess": asdict(preprocess),
    }


def load_encoder(
    name: str,
    *,
    device: "torch.device | str" = "cpu",
    dtype: "torch.dtype | str | None" = None,
    features: str = "embedding",
) -> ClipEncoder:
    """Make the encoder of this name.

    Args:
        name: see the head of this module.
        device: where it computes.
        dtype: fp32 (the default), bf16, fp16, or `auto`: for one of vcap's own encoders fp32, in
            which it was trained; for another one what `fastest_dtype` says.
        features: `embedding` [D], or `grid`: the embedding, then one of each of 3 x 3 places
            row by row [10*D].

    Raises:
        UsageError: no encoder is named so.
        UnavailableError: the weights are not on this machine and cannot be fetched.
        CheckpointError: the weights do not fit.
    """
    own = own_encoder_folder(name)
    model, preprocess, tokenize = _load(name) if own is None else _vcap_folder(own)
    chosen = fastest_dtype(device) if dtype == "auto" and own is None else dtype
    on_gpu = str(device).startswith("cuda")
    batch_size = BATCH_SIZE if own else GPU_BATCH if on_gpu else LARGE_BATCH
    made: dict[str, Any] = {"device": device, "dtype": chosen, "batch_size": batch_size}
    try:
        return ClipEncoder(name, model, preprocess, tokenize, features=features, **made)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error


Parts = tuple[Any, Preprocess, Any]


def _load(name: str) -> Parts:
    """An encoder that open_clip builds."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _open_clip(f"local-dir:{folder.absolute()}", None, str(folder))
    if folder.suffix == ".pth" and folder.is_file():
        from vcap.engine.original_retrieval import read_original_retrieval

        original = read_original_retrieval(folder)
        return original.model.clip, original.preprocess, original.tokenize
    if name.startswith("hf:"):
        return _open_clip(f"hf-hub:{name.removeprefix('hf:')}", None, name)
    tower, _, weights = name.partition(":")
    _check_tower(tower, weights, name)
    return _open_clip(tower, weights, weights if Path(weights).is_file() else name)


def _check_tower(tower: str, weights: str, name: str) -> None:
    """Check both halves of NAME:TAG before anything is fetched."""
    import open_clip

    if tower not in open_clip.list_models() or not weights:
        known = [*registry.ENCODERS, *(":".join(pair) for pair in open_clip.list_pretrained())]
        raise UsageError(f"no encoder named {name}; {registry.nearest(name, known)}")
    tags = open_clip.list_pretrained_tags_by_model(tower)
    if weights not in tags and not Path(weights).is_file():
        offer = registry.nearest(weights, tags) if tags else "open_clip has no weights for it"
        raise UsageError(f"no weights named {weights} for {tower}; {offer}")


def _vcap_folder(folder: Path) -> Parts:
    from vcap.engine.tokenizers import load_tokenizer
    from vcap.models import clip

    config = read_config(folder, "encoder")
    try:
        tower = clip.TowerConfig(**config["model"])
        given = config["preprocess"]
        colours = {key: tuple(given[key]) for key in ("mean", "std")}
        preprocess = Preprocess(**{**given, **colours})
        model = clip.build_clip(tower)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
    load_weights(model, read_weights(folder / "model.safetensors"), folder)
    tokenizer = load_tokenizer(folder)
    length = int(tower.text_cfg.get("context_length", 77))
    return model, preprocess, lambda texts: tokenizer.batch(texts, length)


def _open_clip(name: str, weights: str | None, source: str) -> Parts:
    """A model that open_clip builds, with its own preprocessing and tokenizer."""
    import open_clip
    from safetensors import SafetensorError

    # OpenAI's weights were trained with another activation than the tower of their name has.
    tag = open_clip.get_pretrained_cfg(name, weights) if weights else {}
    quick = bool((tag or {}).get("quick_gelu"))
    try:
        with _quiet():
            model = open_clip.create_model(
                name, weights, force_quick_gelu=quick, require_pretrained=True
            )
            tokenize = open_clip.get_tokenizer(name)
    except (pickle.UnpicklingError, SafetensorError) as error:
        raise CheckpointError(f"{source}: not weights that can be read safely: {error}") from error
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AssertionError) as error:
        raise _reason(source, error) from error
    return model, _preprocess(open_clip.get_model_preprocess_cfg(model), source), tokenize


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what open_clip logs and warns of; what goes wrong is raised."""
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _reason(source: str, error: Exception) -> VcapError:
    """Weights that are there but wrong, or weights that are not there."""
    first = str(error).strip().split("\n")[0]
    if Path(source).exists() or "Error(s) in loading state_dict" in first:
        return CheckpointError(f"{source} does not fit: {' '.join(str(error).split())[:300]}")
    return UnavailableError(
        f"the weights of {source} are not on this machine and cannot be fetched ({first[:200]})",
        hint="vcap doctor",
    )


def _preprocess(found: Mapping[str, Any], source: str) -> Preprocess:
    """open_clip's words for preprocessing, as ours."""
    size = found["size"]
    try:
        return Preprocess(
            size=int(size if isinstance(size, int) else size[0]),
            mean=tuple(found["mean"]),
            std=tuple(found["std"]),
            interpolation=found["interpolation"],
            resize_mode=found["resize_mode"],
        )
    except ValueError as error:
        raise CheckpointError(f"{source}: frames cannot be brought to it: {error}") from error
