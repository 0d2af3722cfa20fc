"""One language model and the roles that act on it: what each says of a batch.

roles.py says how a role's weights are held; critic and reward have a scalar head too. Training is
not here.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_core.distributed.ranks import share_of_rank, world_size
from rlhf_core.distributed.sharding import in_lockstep
from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.models.architecture import additive_mask, position_arguments, shared_windows
from rlhf_core.models.device import Compute
from rlhf_core.models.kernels.kv_cache import new_cache
from rlhf_core.models.kernels.logits import logit_rule
from rlhf_core.models.kernels.logprobs import chosen_logprobs
from rlhf_core.models.roles import Role, Roles
from rlhf_core.models.scalar_head import ScalarHead
from rlhf_core.models.sequences import Batch, TokenSequence, collate, microbatches
from rlhf_core.models.turn_end import end_ids

PROBE_FACTOR = 50.0
"""Times the logits of a model when it is asked what it does to them."""

__all__ = ["Role", "Trunk"]


class Trunk:
    """A causal language model in its roles, with heads in fp32.

    Args:
        roles: The weights of every role; the reference is their base.
        tokenizer: The model's own.
        compute: Device and precision.

    Raises:
        ModelNotFoundError: If the model does more after its output embedding than scale and cap,
            which reading log-probabilities from hidden states would miss, or remembers more of a
            text than keys and values.
    """

    def __init__(self, roles: Roles, tokenizer: PreTrainedTokenizerBase, compute: Compute) -> None:
        self.roles = roles
        self.tokenizer = tokenizer
        self.compute = compute
        self.hidden_size = int(roles.base.get_output_embeddings().weight.shape[1])
        self.heads: dict[Role, ScalarHead] = {}
        new_cache(roles.base)  # refuses what could be trained and never sampled from
        with self.acting_as(Role.REFERENCE) as model, compute.autocast():
            self._windows = shared_windows(model)
        self._base_states = self._reference_states()
        self._refuse_unusual_heads()

    @property
    def language_model(self) -> PreTrainedModel:
        """The base, which every role begins as."""
        return self.roles.base

    @property
    def shares_prompts(self) -> bool:
        """Whether responses to one prompt stand in one row: asked for, and right for this model."""
        return self.compute.share_prompts and self._windows is not None

    @property
    def pad_id(self) -> int:
        return int(cast(int, self.tokenizer.pad_token_id))

    @property
    def eos_id(self) -> int:
        return int(cast(int, self.tokenizer.eos_token_id))

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """All tokens that end an answer."""
        return end_ids(self.language_model, self.tokenizer)

    def add_role(self, role: Role, seed: int, heads: int = 1) -> None:
        """A fresh role, which says what the base says, and a random head where it has one."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.roles.add(role)
            if role in (Role.CRITIC, Role.REWARD):
                self.heads[role] = ScalarHead(self.hidden_size, heads).to(self.compute.device)

    def copy_role(self, source: Role, target: Role) -> None:
        """A new role that begins as an exact copy of another, head included."""
        with torch.random.fork_rng():
            self.roles.copy(source, target)
        if source in self.heads:
            self.copy_head(source, target)

    def load_head(self, role: Role, weights: dict[str, Tensor]) -> None:
        members = len(weights["linear.weight"])
        self.heads[role] = ScalarHead(self.hidden_size, members).to(self.compute.device)
        self.heads[role].load_state_dict(weights)

    def copy_head(self, source: Role, target: Role) -> None:
        """Give a role, beside its weights, an exact copy of another's head."""
        self.load_head(target, self.heads[source].state_dict())

    def remove_role(self, role: Role) -> None:
        self.roles.remove(role)
        self.heads.pop(role, None)

    def parameters(self, role: Role) -> list[nn.Parameter]:
        """What is trained of a role: its weights, and its head."""
        head = list(self.heads[role].parameters()) if role in self.heads else []
        return self.roles.parameters(role) + head

    def acting_as(self, role: Role) -> AbstractContextManager[PreTrainedModel]:
        """The language model in that role; in evaluation mode, so without dropout."""
        return self.roles.acting_as(role)

    def require_reference(self) -> None:
        """Refuse to measure a distance from a reference that is no longer the base.

        Raises:
            TrainingError: If its hidden states differ from those before any role was added.
        """
        if not torch.equal(self._reference_states(), self._base_states):
            raise TrainingError(
                "the reference no longer says what the base model says: its weights were changed; "
                "load the model anew"
            )

    def batch(self, sequences: Sequence[TokenSequence]) -> Batch:
        """These sequences as this model reads them."""
        return collate(sequences, self.pad_id, self.compute.device, self.shares_prompts)

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
        groups = microbatches(sequences, tokens, self.shares_prompts, world_size())
        with in_lockstep(self.language_model):
            for group in share_of_rank(groups):
                yield group, self.batch([sequences[index] for index in group])

    def hidden_states(self, role: Role, batch: Batch) -> Tensor:
        """Last hidden states, (B, T, H)."""
        with self.acting_as(role) as model, self.compute.autocast():
            output = model.base_model(
                input_ids=batch.input_ids,
                attention_mask=self._mask(batch),
                **position_arguments(model, batch.position_ids),
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
        return self.logprobs_and_entropy_from(hidden, role, batch, temperature, with_entropy)

    def logprobs_and_entropy_from(
        self,
        hidden: Tensor,
        role: Role,
        batch: Batch,
        temperature: float,
        with_entropy: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """The same from hidden states that are there already, (B, T, H)."""
        # Only the response positions meet the output embedding, a fifth of a small model's work.
        states = batch.at_predictors(hidden)[batch.response_mask]
        output, dtype = self.roles.output_embedding(role), self.compute.dtype
        chosen, entropy = chosen_logprobs(
            states,
            output.weight.to(dtype),
            output.bias.to(dtype) if output.bias is not None else None,
            batch.response_ids[batch.response_mask],
            temperature,
            with_entropy,
            logit_rule(self.language_model),
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

    def _mask(self, batch: Batch) -> Tensor | dict[str, Tensor]:
        """What transformers is to know of it: rows of one response need no more than a (B, T)."""
        if self._windows is None or not self.compute.share_prompts:
            return batch.real.long()
        return additive_mask(batch, self._windows, self.compute.dtype)

    @torch.no_grad()
    def _reference_states(self) -> Tensor:
        """Of two tokens, (1, 2, H): enough to tell whether any weight was changed."""
        ids = torch.tensor([[self.pad_id, self.eos_id]], device=self.compute.device)
        with self.acting_as(Role.REFERENCE) as model, self.compute.autocast():
            return cast(Tensor, model.base_model(input_ids=ids).last_hidden_state)

    @torch.no_grad()
    def _refuse_unusual_heads(self) -> None:
        """Compare logits, large ones, since a soft cap leaves small ones as they are."""
        ids = torch.tensor([[self.pad_id, self.eos_id]], device=self.compute.device)
        with self.acting_as(Role.REFERENCE) as model, self.compute.autocast():
            output = model.get_output_embeddings()
            magnified = output.register_forward_hook(lambda _, __, logits: PROBE_FACTOR * logits)
            ours = logit_rule(model)(output(self._base_states))
            theirs = model(input_ids=ids).logits
            magnified.remove()
        rounding = 1e-3 if self.compute.dtype == torch.float32 else 1e-2
        if not torch.allclose(ours.float(), theirs.float(), atol=rounding, rtol=rounding):
            raise ModelNotFoundError(
                f"architecture {self.language_model.config.model_type!r} changes its logits after "
                "the output embedding in a way that Solon does not know; choose another model"
            )


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    """Values of the true cells, in order, back in the mask's shape with 0 elsewhere."""
    return torch.zeros(mask.shape, dtype=values.dtype, device=values.device).masked_scatter(
        mask, values
    )
