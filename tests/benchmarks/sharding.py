"""Memory of a rank that fine-tunes all weights of a 100M model, sharded over 1, 2 and 4 ranks.

The ranks are processes over gloo, and the weights are random. A rank's memory is the bytes of the
weights, gradients and moments that it holds, and the growth of its process by the end of a step.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.sft import accumulate_likelihood
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.distributed.launch import launched_rank
from rlhf_core.distributed.ranks import all_reduce_max, join_ranks, leave_ranks
from rlhf_core.distributed.sharding import own_shard
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import Compute, choose_compute
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.tiny import byte_tokenizer
from rlhf_core.models.trunk import Role
from tests.benchmarks.result import Result

RANKS = (1, 2, 4)
MEGA = 1e6


def run(compute: Compute) -> list[Result]:
    """Megabytes of the rank that holds most, by number of ranks."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        _write_model(Path(folder))
        for ranks in RANKS:
            found = _launch(ranks, folder)
            for what, value in found.items():
                detail = f"{what}, {ranks} ranks"
                results.append(Result.alone("sharding", detail, value, "MB a rank"))
    return results


def _write_model(folder: Path) -> None:
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=16384,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _launch(ranks: int, folder: str) -> dict[str, float]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", str(ranks), "-m", __name__, folder,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _fine_tune(folder: str) -> dict[str, float]:
    """Take one step on one short text, and return the largest megabytes of any rank."""
    settings = ComputeSettings(device="cpu", precision="fp32", shard=True)
    before = _resident()
    trunk = open_trunk(folder, choose_compute(settings), None)
    trunk.add_role(Role.SFT, 1)
    updater = Updater(trunk.parameters(Role.SFT), 1e-5, steps=1)
    accumulate_likelihood(trunk, Role.SFT, [TokenSequence(tuple(range(3, 11)), (12, 13))] * 2)
    gradients = [parameter.grad for parameter in updater.parameters if parameter.grad is not None]
    held = _bytes([*updater.parameters, *gradients])
    updater.step()
    held += _bytes([value for key, value in updater.state().items() if key.startswith("exp_avg")])
    held += _bytes(list(trunk.language_model.parameters()))
    return {
        "weights, gradients, moments, reference": all_reduce_max(held) / MEGA,
        "growth of the process": all_reduce_max(_resident() - before) / MEGA,
    }


def _bytes(tensors: list[Tensor]) -> int:
    return sum(own_shard(each).numel() * each.element_size() for each in tensors)


def _resident() -> int:
    """Return the memory of this process at its peak so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    join_ranks()
    figures = _fine_tune(sys.argv[1])
    leave_ranks()
    if launched_rank() == 0:
        print(json.dumps(figures))
