"""One of several processes that compute a loss together: RANK WORLD MEETING-FILE OUTPUT."""

import sys

import torch
from torch import Tensor, distributed, nn

from vcap.engine.methods.gather import gather_batch
from vcap.models.retrieval import Embedded, Matcher, RetrievalConfig, symmetric_loss

SIZE, FRAMES, WIDTH = 4, 3, 8  # rows of a process


def parts() -> tuple[nn.ModuleDict, Tensor, Tensor]:
    """The same weights and the same batch in every process: [8, 3, 8] frames, [8, 8] texts."""
    torch.manual_seed(0)
    config = RetrievalConfig(feature_width=WIDTH, num_frames=FRAMES, num_kept=FRAMES, num_heads=2)
    model = nn.ModuleDict(
        {"video": nn.Linear(WIDTH, WIDTH), "text": nn.Linear(WIDTH, WIDTH),
         "matcher": Matcher(config)}
    )  # fmt: skip
    return model, torch.randn(2 * SIZE, FRAMES, WIDTH), torch.randn(2 * SIZE, WIDTH)


def gradients(model: nn.ModuleDict, frames: Tensor, texts: Tensor) -> dict[str, Tensor]:
    """Of the loss on the batches of all processes, which each has a part of."""
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    scores = torch.zeros(frames.shape[:2])
    own = Embedded(model["text"](texts), None, None, model["video"](frames), mask, scores)
    found, ids = gather_batch(own, [torch.arange(len(texts))])
    assert found.mask.dtype == torch.bool
    assert len(ids[0]) == len(found.texts) == 2 * SIZE
    matcher = model["matcher"]
    cosines = matcher.cosines(matcher.text_vector(found.texts), found.frames, found.mask)
    torch.autograd.backward(symmetric_loss(20 * cosines))
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def main(rank: int, world: int, meeting: str, output: str) -> None:
    """Compute this process's part, average with the others, and write what came out."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world
    )
    model, frames, texts = parts()
    own = slice(rank * SIZE, (rank + 1) * SIZE)
    found = gradients(model, frames[own], texts[own])
    for tensor in found.values():
        distributed.all_reduce(tensor.div_(world))
    if rank == 0:
        torch.save(found, output)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
