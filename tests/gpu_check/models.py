"""Checks of one model: sampling, rows, saving, merging, sharding, and collectives of one rank."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as distributed
from torch import Tensor
from torch._C._distributed_c10d import HashStore

from rlhf_core.algorithms.scoring import sequence_logprobs
from rlhf_core.models.artifacts import load_role, open_trunk, save_merged, save_role
from rlhf_core.models.bundled import TINY, bundled_folder
from rlhf_core.models.kernels.attention import attention_implementation
from rlhf_core.models.kernels.logprobs import chosen_logprobs
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import SamplingLimits, sample
from tests.gpu_check.box import Box, stir
from tests.gpu_check.memory import peak_bytes
from tests.gpu_check.report import Figures, Report, require

PROMPTS = [(10, 11, 12), (20, 21, 22, 23, 24, 25, 26), (30,)]
ANSWERS = [
    TokenSequence(PROMPTS[0], (40, 41, 42)),
    TokenSequence(PROMPTS[1], (50,)),
    TokenSequence(PROMPTS[0], (60,)),
]
GAPS = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Nats a token by which a sampling pass may differ from a training pass, on average."""


def measure(report: Report, box: Box) -> None:
    """Report whether the passes over a model agree with each other, and what is saved with it."""
    for dtype, gap in GAPS.items():
        name = "bf16" if dtype == torch.bfloat16 else "fp32"
        work = partial(check_sampling, box, dtype, gap)
        report.check(f"log-probabilities of sampling, {name}", 2, work)
    checks: dict[str, Callable[[Box], Figures]] = {
        "answers in shared rows score as in their own": check_rows,
        "logits of a whole batch are never in memory": check_logits,
        "gradient checkpointing lowers the peak": check_checkpointing,
        "saved, loaded and merged": check_saving,
        "sharded over one rank": check_shard,
        "objects between ranks": check_objects,
    }
    for name, check in checks.items():
        report.check(name, 3, partial(check, box))


def check_sampling(box: Box, dtype: torch.dtype, gap: float) -> Figures:
    """Compare the log-probabilities of ragged samples with those of a training pass.

    Args:
        box: The device.
        dtype: Precision.
        gap: Largest mean difference, in nats a token.
    """
    trunk = box.trunk(dtype)
    trunk.add_role(Role.POLICY, 1)
    stir(trunk, Role.POLICY)
    limits = SamplingLimits(12, 0.7, trunk.end_ids, trunk.pad_id)
    with trunk.acting_as(Role.POLICY) as model, trunk.compute.autocast():
        answers = sample(model, PROMPTS, [[1, 2], [3, 4], [5, 6]], limits, 64)
    drawn = [
        (TokenSequence(prompt, answer.token_ids), answer.logprobs)
        for prompt, row in zip(PROMPTS, answers, strict=True)
        for answer in row
    ]
    with torch.no_grad():
        batch = trunk.batch([sequence for sequence, _ in drawn])
        trained = trunk.token_logprobs(Role.POLICY, batch, 0.7).cpu()
    differences = [
        (row[: len(logprobs)] - torch.tensor(logprobs)).abs().mean().item()
        for row, (_, logprobs) in zip(trained, drawn, strict=True)
    ]
    worst = max(differences)
    require(worst <= gap, f"the passes differ by {worst:.3g} nats a token, and {gap:g} is allowed")
    return {"gap": worst}


@torch.no_grad()
def check_rows(box: Box) -> Figures:
    """Compare scores of answers in one row a prompt with those in one row an answer.

    The device's kernels accept the branch mask, and padding does not matter.
    """
    trunk = box.trunk()
    trunk.add_role(Role.REWARD, 1)
    stir(trunk, Role.REWARD)
    found = []
    for is_shared in (True, False):
        trunk.compute = replace(trunk.compute, share_prompts=is_shared)
        found.append(trunk.sequence_scores(Role.REWARD, trunk.batch(ANSWERS)))
    return _same("the scores", found[0], found[1], 1e-4)


def check_logits(box: Box) -> Figures:
    """Require that a sixteenth of a batch's logits is in memory at once, and not all of them."""
    words, dtype = (2048, torch.float32) if box.is_tiny else (49_152, torch.bfloat16)
    states = torch.randn(4096, 64, device=box.device, dtype=dtype, requires_grad=True)
    weight = torch.randn(words, 64, device=box.device, dtype=dtype)
    ids = torch.randint(words, (4096,), device=box.device)

    def work() -> None:
        chosen_logprobs(states, weight, None, ids, 1.0, with_entropy=False)[0].sum().backward()

    peak, whole = peak_bytes(box.device, work), 4096 * words * dtype.itemsize
    require(peak < whole, f"the peak is {peak} bytes, and all logits take {whole}")
    return {"of_all_logits": peak / whole}


def check_checkpointing(box: Box) -> Figures:
    """Require that the peak of a backward pass is lower with gradient checkpointing."""
    length = 100 if box.is_tiny else 250
    sequences = [TokenSequence(tuple(range(3, length + 3)), (9,) * length)] * 4

    def peak(is_on: bool) -> int:
        trunk = box.trunk(gradient_checkpointing=is_on)
        trunk.add_role(Role.REWARD, 1)
        batch = trunk.batch(sequences)
        return peak_bytes(
            box.device, lambda: trunk.sequence_scores(Role.REWARD, batch).sum().backward()
        )

    without, checkpointed = peak(False), peak(True)
    require(checkpointed < without, f"{checkpointed} bytes with it, {without} without")
    return {"share": checkpointed / without}


def check_saving(box: Box) -> Figures:
    """Save a policy, load it, merge it, and compare what each says."""
    trunk = box.trunk(box.best)
    trunk.add_role(Role.POLICY, 1)
    stir(trunk, Role.POLICY)
    base = bundled_folder(TINY)
    assert base is not None
    expected = sequence_logprobs(trunk, Role.POLICY, ANSWERS)
    with TemporaryDirectory() as kept:
        save_role(trunk, Role.POLICY, Path(kept) / "policy", base)
        loaded = box.trunk(box.best)
        load_role(loaded, Role.POLICY, Path(kept) / "policy")
        read = _same("a loaded policy", sequence_logprobs(loaded, Role.POLICY, ANSWERS), expected)
        save_merged(trunk, Role.POLICY, Path(kept) / "merged")
        merged = open_trunk(str(Path(kept) / "merged"), box.compute(box.best), 4)
        tolerance = 0.05 if box.best == torch.bfloat16 else 1e-4
        said = sequence_logprobs(merged, Role.REFERENCE, ANSWERS)
        fused = _same("a merged policy", said, expected, tolerance)
    return {"loaded": read["difference"], "merged": fused["difference"]}


def check_shard(box: Box) -> Figures:
    """Shard the layers over one rank, and require the same scores by the device's attention."""
    whole = _scored(box.trunk())
    with _one_rank(box):
        trunk = box.trunk(shard=True)
        found = _scored(trunk)
    attention = trunk.language_model.config._attn_implementation
    wanted = attention_implementation(box.device)
    require(attention == wanted, f"a sharded model has attention {attention!r}, not {wanted!r}")
    return _same("a sharded model", found, whole, 1e-4) | {"attention": str(attention)}


def check_objects(box: Box) -> Figures:
    """Send objects through the backend of the device and that of the CPU."""
    sent = {"metrics": [1.0, 2.0], "text": "ü"}
    with _one_rank(box):
        received: list[object] = [None]
        distributed.all_gather_object(received, sent)
        broadcast: list[object] = [sent]
        distributed.broadcast_object_list(broadcast, src=0)
        tensor = torch.ones(4, device=box.device)
        distributed.all_reduce(tensor)
    require(received == [sent] and broadcast == [sent], "an object came back changed")
    return {"sum": tensor.sum().item()}


def _scored(trunk: Trunk) -> Tensor:
    trunk.add_role(Role.REWARD, 1)
    stir(trunk, Role.REWARD)
    with torch.no_grad():
        return trunk.sequence_scores(Role.REWARD, trunk.batch(ANSWERS)).cpu()


@contextmanager
def _one_rank(box: Box) -> Iterator[None]:
    """Be the only member of a process group inside the context, with the backends of a training."""
    backend = "cpu:gloo,cuda:nccl" if box.is_gpu else "gloo"
    store = HashStore()
    distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _same(what: str, found: Tensor, expected: Tensor, tolerance: float = 0.0) -> dict[str, float]:
    difference = (found - expected).abs().max().item()
    scale = max(1.0, expected.abs().max().item())
    require(
        difference <= tolerance * scale,
        f"{what} differs by {difference:.3g}, and {tolerance * scale:.3g} is allowed",
    )
    return {"difference": difference}
