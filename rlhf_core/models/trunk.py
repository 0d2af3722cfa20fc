"""One language model and the roles that act on it: log-probabilities, values and scores of a batch.

roles.py says how a role's weights are held; critic and reward have a scalar head too. Training is
not here.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_core.distributed.ranks import rank, share_of_rank, world_size
from rlhf_core.distributed.sharding import in_lockstep, reshard
from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.identity import seed_from
from rlhf_core.models.architecture import Mask, position_arguments, shared_masks, shared_windows
from rlhf_core.models.device import Compute, kept_random_state
from rlhf_core.models.kernels.kv_cache import new_cache
from rlhf_core.models.kernels.logits import logit_rule
from rlhf_core.models.kernels.logprobs import chosen_logprobs
from rlhf_core.models.loading import context_length
from rlhf_core.models.quantisation import refuse_stored_quantised
from rlhf_core.models.roles import HEADED, Role, Roles
from rlhf_core.models.scalar_head import ScalarHead
from rlhf_core.models.sequences import Batch, TokenSequence, collate, microbatches
from rlhf_core.models.turn_end import end_ids

PROBE_FACTOR = 50.0
"""The probe multiplies the logits by this, since a soft cap leaves small logits unchanged."""

__all__ = ["Role", "Trunk"]


class Trunk:
    """A causal language model in its roles, with heads in fp32.

    Args:
        roles: The weights of every role; the reference is their base.
        tokenizer: The model's tokenizer.
        compute: Device and precision.

    Raises:
        ModelNotFoundError: If the model is stored with quantised weights, does more to its logits
            than scale and cap them, which log-probabilities computed from hidden states would miss,
            or caches more of a text than keys and values.
        ConfigError: If it has FlexAttention, and answers cannot share its rows.
    """

    def __init__(self, roles: Roles, tokenizer: PreTrainedTokenizerBase, compute: Compute) -> None:
        self.roles = roles
        self.tokenizer = tokenizer
        self.compute = compute
        if getattr(roles.base, "hf_quantizer", None) is not None:
            refuse_stored_quantised(str(roles.base.name_or_path), roles.base.config)
        self.hidden_size = int(roles.base.get_output_embeddings().weight.shape[1])
        self.heads: dict[Role, ScalarHead] = {}
        new_cache(roles.base)  # refuses a model that could be trained but not sampled from
        with self.acting_as(Role.REFERENCE) as model, compute.autocast():
            self._windows = shared_windows(model)
        self._base_states = self._reference_states()
        self._refuse_unusual_heads()
        reshard(roles.base)

    @property
    def language_model(self) -> PreTrainedModel:
        """The base model, which every role starts from."""
        return self.roles.base

    @property
    def vocabulary(self) -> int:
        """Number of tokens that the model knows, V."""
        return int(self.language_model.config.get_text_config().vocab_size)

    @property
    def shares_prompts(self) -> bool:
        """True if responses to one prompt share a row: configured, and right for this model."""
        return self.compute.share_prompts and self._windows is not None

    @property
    def pad_id(self) -> int:
        return int(cast(int, self.tokenizer.pad_token_id))

    @property
    def eos_id(self) -> int:
        return int(cast(int, self.tokenizer.eos_token_id))

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Ids of all tokens that end an answer."""
        return end_ids(self.language_model, self.tokenizer)

    def add_role(self, role: Role, seed: int, heads: int = 1) -> None:
        """Add a role that answers as the base does; a critic or reward role gets a random head.

        Args:
            role: The role to add.
            seed: Seed of the adapter and the head.
            heads: Number of members of the head.
        """
        with kept_random_state(self.compute.device):
            torch.manual_seed(seed)
            self.roles.add(role)
            if role in HEADED:
                self.heads[role] = ScalarHead(self.hidden_size, heads).to(self.compute.device)

    def copy_role(self, source: Role, target: Role) -> None:
        """Add a role that starts as an exact copy of another, head included."""
        with kept_random_state(self.compute.device):
            self.roles.copy(source, target)
        if source in self.heads:
            self.copy_head(source, target)

    def load_head(self, role: Role, weights: dict[str, Tensor]) -> None:
        members = len(weights["linear.weight"])
        self.heads[role] = ScalarHead(self.hidden_size, members).to(self.compute.device)
        self.heads[role].load_state_dict(weights)

    def copy_head(self, source: Role, target: Role) -> None:
        """Give a role an exact copy of another role's head."""
        self.load_head(target, self.heads[source].state_dict())

    def remove_role(self, role: Role) -> None:
        self.roles.remove(role)
        self.heads.pop(role, None)

    def parameters(self, role: Role) -> list[nn.Parameter]:
        """Return the trained parameters of a role: its weights, and its head."""
        head = list(self.heads[role].parameters()) if role in self.heads else []
        return self.roles.parameters(role) + head

    def acting_as(self, role: Role) -> AbstractContextManager[PreTrainedModel]:
        """Yield the language model in that role, in evaluation mode, so without its own dropout."""
        return self.roles.acting_as(role)

    def dropout(self, seed: int | None, microbatch: int) -> AbstractContextManager[None]:
        """Let the adapters drop out inside the context, which holds the backward pass as well.

        Args:
            seed: Seed of the training's step; None is without dropout.
            microbatch: Number of this rank's micro-batch in the step. Each micro-batch of each rank
                has masks of its own.
        """
        if seed is None:
            return nullcontext()
        return self.roles.dropout(seed_from(seed, rank(), microbatch))

    def require_reference(self) -> None:
        """Refuse to measure a distance from a reference that is no longer the base.

        Raises:
            TrainingError: If the reference's hidden states differ from those of the loaded model.
        """
        if not torch.equal(self._reference_states(), self._base_states):
            raise TrainingError(
                "the reference no longer answers as the base model does, because its weights were "
                "changed; load the model again"
            )

    def batch(self, sequences: Sequence[TokenSequence]) -> Batch:
        """Return sequences as a batch on this model's device.

        Raises:
            TrainingError: If a sequence is longer than the model can read.
        """
        longest, positions = max(map(len, sequences)), context_length(self.language_model.config)
        if positions is not None and longest > positions:
            raise TrainingError(
                f"a prompt with its answer has {longest} tokens, and the model reads at most "
                f"{positions}; leave the text out, or choose a model with more positions"
            )
        return collate(sequences, self.pad_id, self.compute.device, self.shares_prompts)

    def training_batches(
        self, sequences: Sequence[TokenSequence]
    ) -> Iterator[tuple[list[int], Batch]]:
        """Yield this rank's micro-batches with room for a backward pass.

        Yields:
            The indices of the sequences in a micro-batch, and the micro-batch.
        """
        return self._batches_of_rank(sequences, self.compute.tokens_per_microbatch, True)

    def forward_batches(
        self, sequences: Sequence[TokenSequence]
    ) -> Iterator[tuple[list[int], Batch]]:
        """Yield this rank's larger micro-batches for a forward pass alone.

        Yields:
            The indices of the sequences in a micro-batch, and the micro-batch.
        """
        return self._batches_of_rank(sequences, self.compute.forward_tokens, False)

    def _batches_of_rank(
        self, sequences: Sequence[TokenSequence], tokens: int, is_training: bool
    ) -> Iterator[tuple[list[int], Batch]]:
        groups = microbatches(sequences, tokens, self.shares_prompts, world_size())
        with in_lockstep(self.roles.models, is_training):
            for group in share_of_rank(groups):
                yield group, self.batch([sequences[index] for index in group])

    def hidden_states(self, role: Role, batch: Batch) -> Tensor:
        """Return the last hidden states, (B, T, H)."""
        with self.acting_as(role) as model, self.compute.autocast():
            output = model.base_model(
                input_ids=batch.input_ids,
                attention_mask=self._mask(model, batch),
                **position_arguments(model, batch.position_ids),
                use_cache=False,
            )
        return cast(Tensor, output.last_hidden_state)

    def token_logprobs(self, role: Role, batch: Batch, temperature: float) -> Tensor:
        """Return the log-probability of each response token.

        Args:
            role: The role that is read.
            batch: N responses of at most R tokens.
            temperature: Divides the logits.

        Returns:
            In nats, fp32, (N, R), 0 outside the response mask.
        """
        return self.token_logprobs_and_entropy(role, batch, temperature, with_entropy=False)[0]

    def token_logprobs_and_entropy(
        self, role: Role, batch: Batch, temperature: float, with_entropy: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Return the log-probability of each response token, and the entropy it was drawn at.

        Args:
            role: The role that is read.
            batch: N responses of at most R tokens.
            temperature: Divides the logits.
            with_entropy: False leaves the entropy at 0, which saves its computation.

        Returns:
            Both in nats, fp32, (N, R), 0 outside the response mask.
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
        """Return the same as `token_logprobs_and_entropy` from given hidden states.

        Args:
            hidden: Last hidden states of the role, (B, T, H).
            role: The role whose output embedding is used.
            batch: N responses of at most R tokens.
            temperature: Divides the logits.
            with_entropy: False leaves the entropy at 0, which saves its computation.

        Returns:
            Both in nats, fp32, (N, R), 0 outside the response mask.
        """
        # Only response positions are multiplied by the output embedding, which is a fifth of a
        # small model's work.
        states = batch.before_tokens(hidden)
        output, dtype = self.roles.output_embedding(role), self.compute.dtype
        chosen, entropy = chosen_logprobs(
            states,
            output.weight.to(dtype),
            output.bias.to(dtype) if output.bias is not None else None,
            batch.token_ids,
            temperature,
            with_entropy,
            logit_rule(self.language_model),
        )
        return batch.in_cells(chosen), batch.in_cells(entropy)

    def token_values(self, role: Role, batch: Batch) -> Tensor:
        """Return the critic's value of the state before each response token, (N, R), else 0."""
        return self.values_from(self.hidden_states(role, batch), role, batch)

    def values_from(self, hidden: Tensor, role: Role, batch: Batch) -> Tensor:
        """Return the same as `token_values` from given hidden states.

        Args:
            hidden: Last hidden states of the role, (B, T, H).
            role: The role whose head is used.
            batch: N responses of at most R tokens.

        Returns:
            The values, (N, R), 0 outside the response mask.
        """
        return self.heads[role](batch.at_predictors(hidden)) * batch.response_mask

    def sequence_scores(self, role: Role, batch: Batch) -> Tensor:
        """Return the head's number at the last real token of each response, (N,)."""
        return self.head_scores(role, batch).mean(dim=-1)

    def head_scores(self, role: Role, batch: Batch) -> Tensor:
        """Return the number of every member of the head at the same token, (N, members)."""
        return self.heads[role].member_scores(batch.at_last(self.hidden_states(role, batch)))

    def _mask(self, model: PreTrainedModel, batch: Batch) -> Mask | dict[str, Mask]:
        """Return the attention mask; rows of one response need only (B, T)."""
        if self._windows is None or not self.compute.share_prompts:
            return batch.real.long()
        return shared_masks(model, batch, self._windows, self.compute.dtype)

    @torch.no_grad()
    def _reference_states(self) -> Tensor:
        """Return the states of two tokens, (1, 2, H), which show whether any weight has changed."""
        ids = torch.tensor([[self.pad_id, self.eos_id]], device=self.compute.device)
        with self.acting_as(Role.REFERENCE) as model, self.compute.autocast():
            return cast(Tensor, model.base_model(input_ids=ids).last_hidden_state)

    @torch.no_grad()
    def _refuse_unusual_heads(self) -> None:
        """Compare Solon's logits with the model's own, at large values, where a soft cap shows.

        Raises:
            ModelNotFoundError: If they differ.
        """
        ids = torch.tensor([[self.pad_id, self.eos_id]], device=self.compute.device)
        with self.acting_as(Role.REFERENCE) as model, self.compute.autocast():
            output = model.get_output_embeddings()
            magnified = output.register_forward_hook(lambda _, __, logits: PROBE_FACTOR * logits)
            # First, since a sharded output embedding is whole only after the pass for the states.
            ours = logit_rule(model)(output(self._base_states))
            theirs = model(input_ids=ids).logits
            magnified.remove()
        rounding = 1e-3 if self.compute.dtype == torch.float32 else 1e-2
        if not torch.allclose(ours.float(), theirs.float(), atol=rounding, rtol=rounding):
            raise ModelNotFoundError(
                f"architecture {self.language_model.config.model_type!r} changes its logits after "
                "the output embedding in a way that Solon does not know; choose another model"
            )
