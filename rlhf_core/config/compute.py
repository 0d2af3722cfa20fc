"""Settings of the computation itself: device, precision, memory and attention."""

from typing import Literal

from pydantic import model_validator

from rlhf_core.config.base import PositiveInt, Settings

Attention = Literal["auto", "sdpa", "flex"]


class ComputeSettings(Settings):
    """Device, precision and memory of the computation; none of it changes results."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps. auto uses a GPU if there is one; with several processes
    (torchrun), each rank uses its own."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto is bf16 autocast on GPUs and CPUs with bf16 instructions, else fp32."""
    tokens_per_microbatch: PositiveInt | None = None
    """Tokens in one forward and backward pass; results do not depend on it, but for the masks of
    `policy.lora_dropout`. null: 3,072 on a CPU and with `shard`; on a GPU 32,768, halved whenever
    memory runs out. Forward passes alone take four times as many, but no more than 32,768 if this
    is less."""
    share_prompts: bool = True
    """True puts the answers to a prompt into one row, so that the prompt is computed once. false
    gives each answer its own row; the numbers are the same. Models that cannot read shared rows,
    such as BLOOM and Falcon, always use separate rows, and the log reports it."""
    attention: Attention = "auto"
    """auto is PyTorch's attention on a GPU, and Solon's own on a CPU. sdpa is PyTorch's on both.
    flex is FlexAttention for the rows that several answers share: it leaves out the blocks of the
    mask that no token may see, and compiles its kernels in the first steps. No GPU has run it yet.
    It needs `share_prompts`, and a model whose attention is plain; others are refused."""
    gradient_checkpointing: bool = False
    """Keep only each layer's input for the backward pass and recompute the rest: a third more time,
    and micro-batches can be several times as large."""
    shard: bool | Literal["node"] = False
    """Shard the layers of every model in training across the ranks (torchrun) instead of copying
    them: slower, for models that do not fit one GPU. With full weights (policy.weights) gradients
    and the optimizer's state are sharded, too. Running out of memory is then an error. node shards
    across the ranks of each machine, and every machine holds a copy: more memory, but layers do
    not travel between machines."""
    checkpoint_every: PositiveInt = 5
    """Training steps between two checkpoints; an interrupted training resumes from the last one and
    arrives at the same weights."""

    @model_validator(mode="after")
    def _flex_needs_shared_rows(self) -> "ComputeSettings":
        if self.attention == "flex" and not self.share_prompts:
            raise ValueError(
                "attention = flex is for rows that several answers share, and share_prompts is "
                "false; use auto, or set share_prompts to true"
            )
        return self
