"""One copy of the weights, and the roles that act on it.

Each role (policy, critic, reward) is a LoRA adapter; critic and reward have a scalar head too. The
reference is the trunk with every adapter off, so it costs nothing. Training is not here.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.device import Compute
from rlhf_core.models.logprobs import chosen_logprobs
from rlhf_core.models.lora import fused
from rlhf_core.models.norm import speed_up_norms
from rlhf_core.models.ranks import share, world
from rlhf_core.models.sequences import Batch, TokenSequence, collate, microbatches
from rlhf_core.models.sharding import in_lockstep, shard


class Role(StrEnum):
    REFERENCE = "reference"
    SFT = "sft"
    POLICY = "policy"
    CRITIC = "critic"
    REWARD = "reward"
    INCUMBENT = "incumbent"
    RELOADED = "reloaded"
    """A role just saved, read back to be compared."""


class ScalarHead(nn.Module):
    """A linear map from a hidden state to one number, in fp32; or several, of which it is the mean.

    Weights start as N(0, 1/(H+1)), bias 0 (arXiv:2009.01325, as in the released code).

    Args:
        hidden_size: H.
        members: Maps.
    """

    def __init__(self, hidden_size: int, members: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, members)
        nn.init.normal_(self.linear.weight, std=(hidden_size + 1) ** -0.5)
        nn.init.zeros_(self.linear.bias)

    @property
    def members(self) -> int:
        return self.linear.out_features

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, H) to (…)."""
        return self.each(hidden).mean(dim=-1)

    def each(self, hidden: Tensor) -> Tensor:
        """The number of every member: (…, H) to (…, members)."""
        with torch.autocast(hidden.device.type, enabled=False):
            return cast(Tensor, self.linear(hidden.float()))

    @torch.no_grad()
    def rescale(self, mean: float, deviation: float) -> None:
        """Answer (number − mean) / deviation from now on."""
        self.linear.weight.div_(deviation)
        self.linear.bias.sub_(mean).div_(deviation)


class Trunk:
    """A causal language model, frozen in the compute precision, with roles in fp32 on it.

    Args:
        model: The weights, on the CPU if they are to be in shards; every role but the reference
            is added to them.
        tokenizer: The model's own.
        compute: Device and precision.
        lora_rank: Rank of each role's adapter.

    Raises:
        ModelNotFoundError: If the model does more after its output embedding than multiply, which
            reading log-probabilities from hidden states would miss.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        compute: Compute,
        lora_rank: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.compute = compute
        self.lora_rank = lora_rank
        self.hidden_size = int(model.config.get_text_config().hidden_size)
        self.heads: dict[Role, ScalarHead] = {}
        self.language_model = model.requires_grad_(False)
        if compute.device.type == "cpu":
            speed_up_norms(model)
        if compute.shard:
            shard(model, compute.device)
        self._lora = fused(
            LoraConfig(
                r=lora_rank,
                lora_alpha=2 * lora_rank,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            )
        )
        self._peft: PeftModel | None = None
        self._refuse_unusual_heads()

    @property
    def pad_id(self) -> int:
        return int(cast(int, self.tokenizer.pad_token_id))

    @property
    def eos_id(self) -> int:
        return int(cast(int, self.tokenizer.eos_token_id))

    def add_role(self, role: Role, seed: int, heads: int = 1) -> None:
        """A fresh adapter, which changes nothing yet, and a random head where the role has one."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._add_adapter(role)
            if role in (Role.CRITIC, Role.REWARD):
                self.heads[role] = ScalarHead(self.hidden_size, heads).to(self.compute.device)

    def copy_role(self, source: Role, target: Role) -> None:
        """A new role that begins as an exact copy of another, head included."""
        self.add_role(target, seed=0)
        self.load_adapter(target, self.adapter(source))
        if source in self.heads and target in self.heads:
            self.copy_head(source, target)

    def adapter(self, role: Role) -> dict[str, Tensor]:
        """The adapter's weights, by names that PEFT loads."""
        return dict(get_peft_model_state_dict(self._adapted(), adapter_name=role.value))

    def load_adapter(self, role: Role, weights: dict[str, Tensor]) -> None:
        set_peft_model_state_dict(self._adapted(), weights, adapter_name=role.value)

    def load_head(self, role: Role, weights: dict[str, Tensor]) -> None:
        members = len(weights["linear.weight"])
        self.heads[role] = ScalarHead(self.hidden_size, members).to(self.compute.device)
        self.heads[role].load_state_dict(weights)

    def copy_head(self, source: Role, target: Role) -> None:
        """Give a role, beside its adapter, an exact copy of another's head."""
        self.load_head(target, self.heads[source].state_dict())

    def remove_role(self, role: Role) -> None:
        peft = self._adapted()
        others = [name for name in peft.peft_config if name != role.value]
        peft.set_adapter(others[0])
        peft.delete_adapter(role.value)
        self.heads.pop(role, None)

    def write_adapter_config(self, folder: Path, base: Path) -> None:
        """What PEFT and transformers need beside the weights to load an adapter."""
        config = replace(self._lora, base_model_name_or_path=str(base.resolve()))
        config.save_pretrained(str(folder))

    def parameters(self, role: Role) -> list[nn.Parameter]:
        """What is trained of a role: its adapter, and its head."""
        marker = f".{role.value}."
        named = self._adapted().named_parameters()
        adapter = [parameter for name, parameter in named if marker in name]
        head = list(self.heads[role].parameters()) if role in self.heads else []
        return adapter + head

    @contextmanager
    def acting_as(self, role: Role) -> Iterator[PreTrainedModel]:
        """The language model in that role; in evaluation mode, so without dropout."""
        if role is Role.REFERENCE:
            if self._peft is None:
                yield self.language_model
            else:
                with self._peft.disable_adapter():
                    yield self.language_model
        else:
            self._adapted().set_adapter(role.value)
            yield self.language_model

    def merged(self, role: Role) -> PreTrainedModel:
        """The plain model that the role amounts to. The trunk is used up by it."""
        peft = self._adapted()
        # Added in fp32 and rounded once: bf16 alone would drop small updates.
        peft.float()
        merged = cast(PreTrainedModel, peft.merge_and_unload(adapter_names=[role.value]))
        for parameter in merged.parameters():
            # Not `merged.to(dtype)`: that would round the rotary frequencies, which are buffers.
            parameter.data = parameter.data.to(self.compute.dtype)
        return merged

    def batch(self, sequences: Sequence[TokenSequence]) -> Batch:
        """These sequences as this model reads them."""
        compute = self.compute
        return collate(sequences, self.pad_id, compute.device, compute.share_prompts)

    def training_batches(
        self, sequences: Sequence[TokenSequence]
    ) -> Iterator[tuple[list[int], Batch]]:
        """Micro-batches with room for a backward pass, each with the indices of what is in it.

        Of several processes each gets its share.
        """
        return self._shared_out(sequences, self.compute.tokens_per_microbatch)

    def forward_batches(
        self, sequences: Sequence[TokenSequence]
    ) -> Iterator[tuple[list[int], Batch]]:
        """The same for a forward pass alone, which has room for more."""
        return self._shared_out(sequences, self.compute.forward_tokens)

    def _shared_out(
        self, sequences: Sequence[TokenSequence], tokens: int
    ) -> Iterator[tuple[list[int], Batch]]:
        groups = microbatches(sequences, tokens, self.compute.share_prompts, world())
        with in_lockstep(self.language_model):
            for group in share(groups):
                yield group, self.batch([sequences[index] for index in group])

    def hidden_states(self, role: Role, batch: Batch) -> Tensor:
        """Last hidden states, (B, T, H)."""
        with self.acting_as(role) as model, self.compute.autocast():
            output = model.base_model(
                input_ids=batch.input_ids,
                attention_mask=self._mask(batch),
                position_ids=batch.position_ids,
                use_cache=False,
            )
        return cast(Tensor, output.last_hidden_state)

    def token_logprobs(self, role: Role, batch: Batch, temperature: float) -> Tensor:
        """Log-probability of each response token, in nats, fp32, (N, R), 0 elsewhere."""
        return self.token_logprobs_and_entropy(role, batch, temperature, with_entropy=False)[0]

    def token_logprobs_and_entropy(
        self, role: Role, batch: Batch, temperature: float, with_entropy: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of each response token and the entropy before it, in nats, both (N, R).

        Without `with_entropy` the second is 0, and costs nothing.
        """
        hidden = self.hidden_states(role, batch)
        return self.logprobs_and_entropy_from(hidden, batch, temperature, with_entropy)

    def logprobs_and_entropy_from(
        self, hidden: Tensor, batch: Batch, temperature: float, with_entropy: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The same from hidden states that are there already, (B, T, H)."""
        # Only the response positions meet the output embedding, a fifth of a small model's work.
        states = batch.at_predictors(hidden)[batch.response_mask]
        output = self.language_model.get_output_embeddings()
        chosen, entropy = chosen_logprobs(
            states,
            output.weight,
            output.bias,
            batch.response_ids[batch.response_mask],
            temperature,
            with_entropy,
        )
        return _spread(chosen, batch.response_mask), _spread(entropy, batch.response_mask)

    def token_values(self, role: Role, batch: Batch) -> Tensor:
        """The critic's value of the state before each response token, (N, R), 0 elsewhere."""
        return self.values_from(self.hidden_states(role, batch), role, batch)

    def values_from(self, hidden: Tensor, role: Role, batch: Batch) -> Tensor:
        """The same from hidden states that are there already, (B, T, H)."""
        return self.heads[role](batch.at_predictors(hidden)) * batch.response_mask

    def sequence_scores(self, role: Role, batch: Batch) -> Tensor:
        """The head's number at the last real token of each response, (N,)."""
        return self.scores_of_each_head(role, batch).mean(dim=-1)

    def scores_of_each_head(self, role: Role, batch: Batch) -> Tensor:
        """The same of every member of the head, (N, members)."""
        return self.heads[role].each(batch.at_last(self.hidden_states(role, batch)))

    def _mask(self, batch: Batch) -> Tensor:
        """What transformers is to know of it: rows of one response need no more than a (B, T)."""
        if not self.compute.share_prompts:
            return batch.real.long()
        hidden = torch.finfo(self.compute.dtype).min
        mask = torch.zeros(
            batch.visible.shape, dtype=self.compute.dtype, device=self.compute.device
        )
        return mask.masked_fill(~batch.visible, hidden)

    def _adapted(self) -> PeftModel:
        if self._peft is None:
            raise RuntimeError("the trunk has no role yet; add_role first")
        return self._peft

    def _add_adapter(self, role: Role) -> None:
        if self._peft is None:
            with warnings.catch_warnings():
                # PEFT asks transformers for a flag under its former name.
                warnings.simplefilter("ignore", FutureWarning)
                self._peft = get_peft_model(
                    self.language_model, self._lora, adapter_name=role.value
                )
        else:
            self._peft.add_adapter(role.value, self._lora)
        self._peft.eval()
        if self.compute.gradient_checkpointing:
            self._checkpoint_layers()

    def _checkpoint_layers(self) -> None:
        """Transformers checkpoints layers in training mode alone, and what is in them stays out."""
        self.language_model.activation_checkpointing_enable({"use_reentrant": False})
        for layer in self.language_model.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.training = True

    def _refuse_unusual_heads(self) -> None:
        ids = torch.tensor([[self.pad_id, self.eos_id]], device=self.compute.device)
        with torch.no_grad():
            states = self.language_model.base_model(input_ids=ids).last_hidden_state
            ours = self.language_model.get_output_embeddings()(states)
            theirs = self.language_model(input_ids=ids).logits
        if not torch.allclose(ours.float(), theirs.float(), atol=1e-3, rtol=1e-3):
            raise ModelNotFoundError(
                f"architecture {self.language_model.config.model_type!r} changes its logits after "
                "the output embedding, which Solon does not do yet; choose another model"
            )


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    """Values of the true cells, in order, back in the mask's shape with 0 elsewhere."""
    return torch.zeros(mask.shape, dtype=values.dtype, device=values.device).masked_scatter(
        mask, values
    )
