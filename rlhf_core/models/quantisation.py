"""The frozen model under the adapters in 4 bits a weight, as in QLoRA (arXiv:2305.14314)."""

from collections.abc import Collection

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from rlhf_core.config.compute import Attention
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.architecture import fit_attention
from rlhf_core.models.kernels.nf4 import QuantisedLinear


def quantise(model: PreTrainedModel, device: torch.device, attention: Attention = "auto") -> None:
    """Round the weights of a model's linear layers to 4 bits, one layer after another.

    Embeddings, norms and the output embedding keep their precision.

    Args:
        model: Whole, in evaluation mode, on the CPU or on `device`.
        device: The device that it will compute on.
        attention: The setting `compute.attention`.

    Raises:
        ConfigError: If bitsandbytes is not installed, or the model cannot compute with that
            attention.
        ModelNotFoundError: If the model has no such layers.
    """
    layers = [
        (name, layer)
        for name, layer in model.named_modules()
        if type(layer) is nn.Linear and layer is not model.get_output_embeddings()
    ]
    if not layers:
        raise ModelNotFoundError(
            f"architecture {model.config.model_type!r} has no linear layers to quantise; remove "
            "policy.quantization"
        )
    for name, layer in layers:
        model.set_submodule(name, QuantisedLinear(layer.weight, layer.bias, device))
    model.to(device)  # type: ignore[arg-type]  # their wrapper hides `to`
    fit_attention(model, device, attention)


def refuse_stored_quantised(name: str, config: PreTrainedConfig, but: Collection[str] = ()) -> None:
    """Refuse a model that would be trained, but whose files hold quantised weights.

    Args:
        name: The name that it is loaded by.
        config: The config of its files.
        but: Kinds of quantisation that are not refused.

    Raises:
        ModelNotFoundError: If it is one.
    """
    stored = getattr(config, "quantization_config", None)
    if stored is None:
        return
    method = stored.get("quant_method") if isinstance(stored, dict) else stored.quant_method
    method = str(getattr(method, "value", method))
    if method in but:
        return
    raise ModelNotFoundError(
        f"model {name!r} is stored with weights quantised by {method}; name the model that it was "
        "made of, and set policy.quantization: nf4 to hold it in 4 bits"
    )
