"""Roles as LoRA adapters on one frozen model, so that a role costs little memory.

The reference is the model with every adapter disabled.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_core.distributed.ranks import rank
from rlhf_core.distributed.sharding import gathered, shard_model
from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.models.adapter_files import ADAPTER, base_name_from
from rlhf_core.models.device import Compute
from rlhf_core.models.kernels.lora import (
    AdapterDropout,
    AdapterSwitch,
    FusedLinear,
    use_fused_linears,
)
from rlhf_core.models.kernels.norm import speed_up_norms
from rlhf_core.models.lora_shape import LoraShape, require_scale
from rlhf_core.models.quantisation import quantise
from rlhf_core.models.roles import (
    Fill,
    Role,
    Roles,
    checkpoint_layers,
    leave_as_it_is,
    round_parameters,
)
from rlhf_core.models.stored_weights import assign, unique_weights

EXACT = 1e-4
"""Share of a layer's largest output that fp32 arithmetic in another order may change."""


class AdapterRoles(Roles):
    """Adapters in fp32 on a model in the compute precision, or in 4 bits.

    Args:
        load: Loads the model; if its layers are to be sharded, on the CPU or without weights, and
            if they are to be quantised, on the CPU.
        compute: Device and precision.
        lora: Rank, scale, layers and dropout of each adapter, and the precision of the base.
        fill: Reads the weights of a model from `load` once its layers are sharded.
    """

    def __init__(
        self,
        load: Callable[[], PreTrainedModel],
        compute: Compute,
        lora: LoraShape,
        fill: Fill = leave_as_it_is,
    ) -> None:
        self.base = load().requires_grad_(False)
        self._new, self._compute, self._shape = load, compute, lora
        if compute.device.type == "cpu" and not compute.shard:
            speed_up_norms(self.base)
        if compute.shard:
            shard_model(self.base, compute.device, compute.dtype, compute.replicas)
            fill(self.base)
        if lora.quantization is not None:
            quantise(self.base, compute.device, compute.attention)
        self._lora = use_fused_linears(
            LoraConfig(
                r=lora.rank,
                lora_alpha=lora.scale_alpha,  # type: ignore[arg-type]  # any number will do
                target_modules=lora.target_modules,
                lora_dropout=lora.dropout,
                task_type="CAUSAL_LM",
            )
        )
        self._peft: PeftModel | None = None
        self._switch = AdapterSwitch()
        self._has_switch = False
        """True if every layer with an adapter obeys the switch."""

    @property
    def models(self) -> list[PreTrainedModel]:
        return [self.base]

    def model(self, role: Role) -> PreTrainedModel | None:
        return None

    def add(self, role: Role) -> None:
        with warnings.catch_warnings():
            # PEFT reads a transformers flag under its former name, and warns of what it handles by
            # itself: it transposes the weights of GPT-2's layers, and skips experts in one tensor.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
            warnings.filterwarnings("ignore", "The following .*_pattern keys", RuntimeWarning)
            warnings.filterwarnings("ignore", "target_parameters=.* were set but", RuntimeWarning)
            if self._peft is None:
                self._peft = get_peft_model(self.base, self._lora, adapter_name=role.value)
            else:
                self._peft.add_adapter(role.value, self._lora)
        self._peft.eval()
        self._seed_dropout(role)
        self._connect_switch()
        if self._compute.gradient_checkpointing:
            checkpoint_layers(self.base)

    def copy(self, source: Role, target: Role) -> None:
        self.add(target)
        self._load(target, self.weights(source))

    def remove(self, role: Role) -> None:
        peft = self._require_peft()
        others = [name for name in peft.peft_config if name != role.value]
        peft.set_adapter(others[0])
        peft.delete_adapter(role.value)
        if self._switch.name == role.value:
            self._switch.name = others[0]

    def parameters(self, role: Role) -> list[nn.Parameter]:
        marker = f".{role.value}."
        named = self._require_peft().named_parameters()
        return [parameter for name, parameter in named if marker in name]

    def weights(self, role: Role) -> dict[str, Tensor]:
        return dict(get_peft_model_state_dict(self._require_peft(), adapter_name=role.value))

    @contextmanager
    def acting_as(self, role: Role) -> Iterator[PreTrainedModel]:
        if self._has_switch:
            with self._switched_to(role):
                yield self.base
        elif role is not Role.REFERENCE:
            self._require_peft().set_adapter(role.value)
            yield self.base
        elif self._peft is None:
            yield self.base
        else:
            with self._peft.disable_adapter():
                yield self.base

    @contextmanager
    def _switched_to(self, role: Role) -> Iterator[None]:
        """Use a role's adapter, also after the context, where a backward pass may recompute it.

        The base is used inside the context alone.
        """
        before = self._switch.name
        if role is not Role.REFERENCE and role.value not in self._require_peft().peft_config:
            raise ValueError(f"the trunk has no role {role.value}; add_role first")
        self._switch.name = None if role is Role.REFERENCE else role.value
        try:
            yield
        finally:
            if role is Role.REFERENCE:
                self._switch.name = before

    @contextmanager
    def dropout(self, seed: int) -> Iterator[None]:
        self._switch.dropout_seed = seed
        try:
            yield
        finally:
            self._switch.dropout_seed = None

    def _seed_dropout(self, role: Role) -> None:
        """Replace PEFT's dropout by that of a seed, which evaluation mode does not turn off."""
        if self._shape.dropout > 0:
            for number, layer in enumerate(self._layers()):
                layer.lora_dropout[role.value] = AdapterDropout(
                    self._shape.dropout, number, self._switch
                )

    def _layers(self) -> list[Any]:
        """Return the layers with an adapter: modules, and `BaseTunerLayer`s as well."""
        return [m for m in self._require_peft().modules() if isinstance(m, BaseTunerLayer)]

    def _connect_switch(self) -> None:
        """Let the switch choose the adapter of every layer, unless a layer is of another kind."""
        layers = self._layers()
        self._has_switch = all(isinstance(layer, FusedLinear) for layer in layers)
        if not self._has_switch:
            return
        for layer in layers:
            cast(FusedLinear, layer).switch = self._switch
        for name, parameter in self._require_peft().named_parameters():
            # PEFT would let only the active adapter have gradients.
            parameter.requires_grad_(".lora_" in name)

    def output_embedding(self, role: Role) -> nn.Linear:
        return cast(nn.Linear, self.base.get_output_embeddings())  # which has no adapter

    def write(self, role: Role, folder: Path, base: Path) -> None:
        """Save a role's adapter as PEFT loads it.

        Args:
            role: The role to save.
            folder: An existing folder.
            base: Folder of the base, which the adapter's config names.
        """
        save_file(self.weights(role), folder / ADAPTER)
        config = replace(self._lora, base_model_name_or_path=base_name_from(folder, base))
        config.save_pretrained(str(folder))

    def read(self, role: Role, folder: Path) -> None:
        require_scale(folder, self._shape)
        self.add(role)
        stored = load_file(folder / ADAPTER)
        if different := sorted(stored.keys() ^ self.weights(role).keys()):
            raise ModelNotFoundError(
                f"adapter {str(folder)!r} is of other layers than the trained ones, such as "
                f"{different[0]}; set policy.lora_targets to the adapter's"
            )
        self._load(role, stored)

    def merge(self, role: Role, dtype: torch.dtype | None = None) -> PreTrainedModel:
        """Return base and adapter as one model, in the compute precision or another.

        A sharded base is gathered layer by layer on the CPU of rank 0, and merged there. In place
        of a quantised base the whole one is loaded there: an adapter is served on it as well.

        Args:
            role: The role to merge.
            dtype: Precision of the merged weights; None is the compute precision.

        Raises:
            TrainingError: If a layer maps a probe to something else once it is merged.
        """
        dtype = self._compute.dtype if dtype is None else dtype
        if self._compute.shard or self._shape.quantization is not None:
            compute = replace(self._compute, device=torch.device("cpu"), shard=False)
            base = self._gather() if self._compute.shard or rank() == 0 else self.base
            if rank() > 0:
                return base
            shape = replace(self._shape, quantization=None)
            whole = AdapterRoles(lambda: base, compute, shape)
            whole.add(role)
            whole._load(role, {name: weight.cpu() for name, weight in self.weights(role).items()})
            return whole.merge(role, dtype)
        peft = self._require_peft()
        with self.acting_as(role):
            for layer in self._layers():
                # In fp32 and rounded once, because bf16 would drop small updates; one after
                # another, so that no second copy of the model is in memory.
                round_parameters(layer, torch.float32)
                _merge_layer(layer, role)
                round_parameters(layer.get_base_layer(), dtype)
        merged = cast(PreTrainedModel, peft.unload())
        round_parameters(merged, dtype)
        return merged

    def _gather(self) -> PreTrainedModel:
        """Return the base whole and without adapters, with its weights on rank 0 alone."""
        whole = self._new()
        if not any(parameter.is_meta for parameter in whole.parameters()):
            return whole
        held = {
            name.replace(".base_layer.", "."): weight.detach()
            for name, weight in self.base.state_dict(keep_vars=True).items()
        }
        values = {}
        for names, _ in unique_weights(whole):
            weight = gathered(held[names[0]])
            if rank() == 0:
                values[names] = weight.cpu()
        if rank() == 0:
            assign(whole, values)
        return whole

    def _load(self, role: Role, weights: dict[str, Tensor]) -> None:
        set_peft_model_state_dict(self._require_peft(), weights, adapter_name=role.value)

    def _require_peft(self) -> PeftModel:
        if self._peft is None:
            raise RuntimeError("the trunk has no role yet; add_role first")
        return self._peft


@torch.no_grad()
def _merge_layer(layer: BaseTunerLayer, role: Role) -> None:
    """Merge a layer in fp32, and refuse one that then maps a probe elsewhere."""
    module = cast(Any, layer)
    probe = torch.linspace(-1, 1, module.in_features, device=module.weight.device)[None]
    expected = module(probe)
    module.merge(adapter_names=[role.value])
    found = module(probe)
    difference = (found - expected).abs().max().item()
    if not difference <= EXACT * max(1.0, expected.abs().max().item()):
        raise TrainingError(f"a layer of {role} merges wrongly (by {difference:.2g}); not written")
