"""One loader for every name a model can have: bundled, local folder, hub id.

Safetensors only, and no code from the model's repository is ever run.
"""

from pathlib import Path

import httpx2
import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.architecture import fit_attention
from rlhf_core.models.bundled import bundled_folder, bundled_names

HUB_TIMEOUT_SECONDS = 10.0
Tokenizer = PreTrainedTokenizerBase
UNREADABLE = (OSError, ValueError, StrictDataclassError)
"""What transformers raises for files that are not there, or that contradict themselves."""


def locate(name: str) -> str:
    """What transformers can load: a folder for bundled and local models, else the hub id itself.

    Raises:
        ModelNotFoundError: If a path is named and holds no model.
    """
    folder = bundled_folder(name)
    if folder is not None:
        return str(folder)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelNotFoundError(f"model {name!r}: the folder holds no config.json")
        return str(path.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelNotFoundError(
            f"no model {name!r}: name a folder, a hub id (owner/name), or one of "
            f"{', '.join(bundled_names())}"
        )
    if try_to_load_from_cache(name, "config.json") is None:
        _ask_hub(name)
    return name


def _ask_hub(name: str) -> None:
    """Refuse a name the hub does not have now, in seconds, before minutes of retried downloads."""
    try:
        HfApi().model_info(name, timeout=HUB_TIMEOUT_SECONDS)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise _not_found(name, error) from None


def read_config(name: str) -> PreTrainedConfig:
    """Return the model's config.

    Raises:
        ModelNotFoundError: If it is not there, or contradicts itself.
    """
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(locate(name), trust_remote_code=False)
    except UNREADABLE as error:
        raise _not_found(name, error) from None
    return config


def load_tokenizer(name: str) -> Tokenizer:
    """The model's tokenizer, with a padding token that is not its end of text."""
    location = locate(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
    except UNREADABLE as error:
        raise _not_found(name, error) from None
    if tokenizer.eos_token_id is None:
        raise ModelNotFoundError(f"model {name!r}: its tokenizer has no end-of-text token")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.bos_token or tokenizer.eos_token
    return tokenizer


def load_language_model(name: str, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The model, in evaluation mode: dropout has no place in sampling or in PPO's ratios."""
    location = locate(name)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            location,
            dtype=dtype,
            attn_implementation="eager",
            trust_remote_code=False,
            use_safetensors=True,
        )
    except UNREADABLE as error:
        raise _not_found(name, error) from None
    model = model.to(device).eval()  # type: ignore[arg-type]  # their wrapper hides `to`
    fit_attention(model, device)
    return model


def parameter_count(name: str) -> int:
    """Parameters of the model, from its config alone.

    The weights are never allocated: the model is built on the meta device.
    """
    config = read_config(name)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except UNREADABLE as error:
        raise _not_found(name, error) from None
    return sum(parameter.numel() for parameter in model.parameters())


def _not_found(name: str, error: Exception) -> ModelNotFoundError:
    lines = [line.strip() for line in str(error).strip().splitlines()]
    # The first line of a contradiction names the check alone.
    reason = " ".join(lines) if isinstance(error, StrictDataclassError) else lines[0]
    return ModelNotFoundError(
        f"model {name!r} cannot be loaded ({reason}); name a folder, a hub id (owner/name), or "
        f"one of {', '.join(bundled_names())}"
    )
