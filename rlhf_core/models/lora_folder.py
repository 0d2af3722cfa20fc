"""A folder with a LoRA adapter as a model: the base that it names, with the adapter merged into it.

PEFT writes such folders, and so does Solon for a policy. Other kinds of adapters, and adapters that
train more than LoRA's matrices, are refused: their merging is not exact, or changes the vocabulary.
"""

import json
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from transformers import PreTrainedModel

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.adapter_files import ADAPTER, ADAPTER_CONFIG, BASE
from rlhf_core.models.roles import round_parameters

LANGUAGE_MODEL, CLASSIFIER = "CAUSAL_LM", "SEQ_CLS"
CLASSIFIER_HEAD = "score"
CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that change the base's weights, so that the saved matrices do not fit it."""
PROBE_TOKENS = 8
ROUNDING = 1e-3
"""Largest difference in a logit that merging in fp32 may cause, relative to the largest logit."""


def is_adapter(folder: Path) -> bool:
    """Return True if transformers, too, would take a folder for an adapter's."""
    return (folder / ADAPTER_CONFIG).exists()


def check_adapter(folder: Path) -> None:
    """Refuse an adapter that cannot be merged, from its config and the names of its weights.

    Raises:
        ModelNotFoundError: If it is of another kind, incomplete, or holds more than LoRA's weights.
    """
    config = _read_config(folder)
    if config.get("peft_type") != "LORA":
        raise _refused(
            folder, f"it is of the type {config.get('peft_type')}, and only LORA is read"
        )
    if not config.get(BASE):
        raise _refused(folder, f"its {ADAPTER_CONFIG} names no base model ({BASE})")
    if config.get("alora_invocation_tokens"):
        raise _refused(folder, "it acts on a part of a text alone, so it cannot be merged")
    initialisation = str(config.get("init_lora_weights", True))
    if initialisation.startswith(CHANGES_BASE):
        raise _refused(
            folder,
            f"its initialisation {initialisation!r} changed its base; convert it to plain LoRA "
            "with PEFT (path_initial_model_for_weight_conversion)",
        )
    others = sorted(name for name in _shapes(folder) if "lora_" not in name)
    if config.get("task_type") == CLASSIFIER:
        others = [name for name in others if name.split(".")[-2] != CLASSIFIER_HEAD]
    if others:
        raise _refused(
            folder,
            f"it holds {len(others)} weights beside LoRA's, such as {others[0]} (modules_to_save, "
            "biases or tokens); merge it with its base by PEFT, and name the merged folder",
        )


def is_classifier_adapter(folder: Path) -> bool:
    """Return True if the adapter in a folder belongs to a sequence classifier."""
    return bool(_read_config(folder).get("task_type") == CLASSIFIER)


def classifier_outputs(folder: Path) -> int:
    """Return the number of outputs of the classifier head in an adapter's folder.

    Raises:
        ModelNotFoundError: If there is no head.
    """
    heads = [
        shape for name, shape in _shapes(folder).items() if name.split(".")[-2] == CLASSIFIER_HEAD
    ]
    if not heads:
        raise _refused(folder, f"it holds no classifier head ({CLASSIFIER_HEAD})")
    return heads[0][0]


def check_fit(base: PreTrainedModel, folder: Path) -> None:
    """Refuse an adapter whose weights have other names or shapes than its base asks for.

    Args:
        base: The base, which cannot be used afterwards; its weights may be on the meta device.
        folder: Folder of the adapter.

    Raises:
        ModelNotFoundError: If the adapter does not fit.
    """
    _attach(base, folder)


def merge_adapter(base: PreTrainedModel, folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Return a base with an adapter merged into it, added in fp32 and rounded once.

    Args:
        base: In fp32, on the CPU, in evaluation mode.
        folder: Folder of the adapter, which passed `check_adapter`.
        dtype: Precision to round to.

    Returns:
        The merged model.

    Raises:
        ModelNotFoundError: If the adapter does not fit the base, or merges inexactly.
    """
    peft = _attach(base, folder)
    set_peft_model_state_dict(peft, load_file(folder / ADAPTER))
    ids = torch.arange(PROBE_TOKENS)[None]
    with torch.no_grad():
        expected = peft(input_ids=ids).logits
        merged = cast(PreTrainedModel, peft.merge_and_unload())
        found = merged(input_ids=ids).logits
    if (found - expected).abs().max() > ROUNDING * expected.abs().max():
        raise _refused(folder, "merged with its base it answers otherwise than beside it")
    round_parameters(merged, dtype)
    return merged


def _attach(base: PreTrainedModel, folder: Path) -> PeftModel:
    """Return the base with an empty adapter of the folder's form.

    Raises:
        ModelNotFoundError: If the form does not fit the base.
    """
    config = LoraConfig.from_pretrained(str(folder))
    config.init_lora_weights = True  # every matrix is overwritten
    with warnings.catch_warnings(), torch.device(base.device):
        warnings.simplefilter("ignore")  # of options that merging settles
        try:
            peft = cast(PeftModel, get_peft_model(base, config)).eval()
        except ValueError as error:
            reason = str(error).strip().splitlines()[0]
            raise _refused(folder, f"it does not fit its base ({reason})") from None
        wanted = {
            name: list(weight.shape) for name, weight in get_peft_model_state_dict(peft).items()
        }
    held = _shapes(folder)
    for name in sorted({*wanted, *held}):
        if wanted.get(name) != held.get(name):
            raise _refused(
                folder,
                f"its weight {name} has the shape {held.get(name)}, and its base needs "
                f"{wanted.get(name)}",
            )
    return peft


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(folder, f"its {ADAPTER_CONFIG} cannot be read ({error})") from None
    return config


def _shapes(folder: Path) -> dict[str, list[int]]:
    """Return the shape of each weight of an adapter, by name, without reading the weights."""
    if not (folder / ADAPTER).exists():
        raise _refused(folder, f"it holds no {ADAPTER}, and pickled weights are not loaded")
    try:
        with safe_open(folder / ADAPTER, "pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _refused(folder, f"its {ADAPTER} cannot be read ({error})") from None


def _refused(folder: Path, reason: str) -> ModelNotFoundError:
    return ModelNotFoundError(f"adapter {str(folder)!r}: {reason}")
