"""One loader for every kind of model name: bundled, local folder, hub id, LoRA adapter.

It reads safetensors only, and never runs code from a model's repository.
"""

from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, StrictDataclassError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlhf_core.config.compute import Attention
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.adapter_files import adapter_base
from rlhf_core.models.architecture import fit_attention
from rlhf_core.models.bundled import bundled_folder, bundled_names
from rlhf_core.models.lora_folder import (
    CLASSIFIER_HEAD,
    check_adapter,
    check_fit,
    classifier_outputs,
    is_adapter,
    is_classifier_adapter,
    merge_adapter,
)

HUB_TIMEOUT_SECONDS = 10.0
HUB_HTTP_ERROR = cast(type[Exception], HfHubHTTPError.__bases__[0])
"""The error of the HTTP library that this release of huggingface_hub uses; all others derive from
it, those of a connection included."""
Tokenizer = PreTrainedTokenizerBase
UNREADABLE = (OSError, ValueError, AssertionError, StrictDataclassError)
"""Errors that transformers and torch raise for missing or inconsistent files."""


def locate(name: str) -> str:
    """Return the folder of a bundled or local model or of a LoRA adapter, or a hub id.

    Raises:
        ModelNotFoundError: If the name is a path without a model, or the hub has no such model, or
            an adapter cannot be merged or lacks its base.
    """
    folder = bundled_folder(name)
    if folder is not None:
        return str(folder)
    path = Path(name).expanduser()
    if path.is_dir():
        if is_adapter(path):
            check_adapter(path)
            _base_of(str(path))
        elif not (path / "config.json").exists():
            raise ModelNotFoundError(f"model {name!r}: the folder holds no config.json")
        return str(path.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelNotFoundError(
            f"no model {name!r}: name a folder, a hub id (owner/name), or one of "
            f"{', '.join(bundled_names())}"
        )
    if try_to_load_from_cache(name, "config.json") is None:
        _query_hub(name)
    return name


def model_folder(name: str) -> Path:
    """Return the folder with the files of a model: of a hub id, that of its snapshot in the cache.

    Raises:
        ModelNotFoundError: If there is no such model, or it was not downloaded.
    """
    location = locate(name)
    if Path(location).is_dir():
        return Path(location).resolve()
    cached = try_to_load_from_cache(location, "config.json")
    if not isinstance(cached, str):
        raise ModelNotFoundError(f"model {name!r} was not downloaded yet; load it once")
    return Path(cached).parent


def _base_of(location: str) -> str:
    """Return where the config and weights of a located model are: for an adapter, its base's."""
    folder = Path(location)
    if not is_adapter(folder):
        return location
    base = adapter_base(folder)
    if is_adapter(Path(base).expanduser()):
        raise ModelNotFoundError(
            f"adapter {location!r}: its base {base!r} is an adapter, too; merge that one first"
        )
    try:
        return locate(base)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(f"adapter {location!r}: its base is missing: {error}") from None


def _query_hub(name: str) -> None:
    """Refuse a name that the hub does not know, in seconds instead of minutes of retried downloads.

    Raises:
        ModelNotFoundError: If the hub does not know it, or cannot be reached.
    """
    try:
        HfApi().model_info(name, timeout=HUB_TIMEOUT_SECONDS)
    except (OSError, ValueError, HUB_HTTP_ERROR) as error:
        raise _not_found(name, error) from None


def read_config(name: str) -> PreTrainedConfig:
    """Return a model's config.

    Raises:
        ModelNotFoundError: If the config is missing or inconsistent.
    """
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            _base_of(locate(name)), trust_remote_code=False
        )
    except UNREADABLE as error:
        raise _not_found(name, error) from None
    return config


def context_length(config: PreTrainedConfig) -> int | None:
    """Return the number of tokens that a model can read; None if its config sets no limit."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def load_tokenizer(name: str) -> Tokenizer:
    """Load a model's tokenizer, with a padding token that differs from the end of text if it can.

    Raises:
        ModelNotFoundError: If it cannot be loaded, or has no end-of-text token that the model
            knows.
    """
    location = locate(name)
    if not (Path(location) / "tokenizer_config.json").exists():
        location = _base_of(location)
    try:
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
    except UNREADABLE as error:
        raise _not_found(name, error) from None
    if tokenizer.eos_token_id is None:
        raise ModelNotFoundError(f"model {name!r}: its tokenizer has no end-of-text token")
    known = read_config(name).get_text_config().vocab_size
    if cast(int, tokenizer.eos_token_id) >= known:
        raise ModelNotFoundError(
            f"model {name!r}: its end-of-text token {tokenizer.eos_token!r} has id "
            f"{tokenizer.eos_token_id}, and the model knows {known} tokens; resize its embedding"
        )
    tokenizer.pad_token = _padding_token(tokenizer, known)
    return tokenizer


def _padding_token(tokenizer: Tokenizer, known: int) -> str:
    """Return the first token for padding that the model knows and that ends no text.

    Tokenizers often get a padding token that the model's embedding was never enlarged for.
    """
    for token in (tokenizer.pad_token, tokenizer.unk_token, tokenizer.bos_token):
        if token is not None:
            number = tokenizer.convert_tokens_to_ids(token)
            if cast(int, number) < known and number != tokenizer.eos_token_id:
                return str(token)
    return str(tokenizer.eos_token)


def load_language_model(
    name: str, dtype: torch.dtype, device: torch.device, attention: Attention = "auto"
) -> PreTrainedModel:
    """Load a causal language model in evaluation mode: dropout would distort PPO's ratios.

    Args:
        name: A bundled name, a folder or a hub id.
        dtype: Precision of the weights.
        device: The device to load it on.
        attention: The setting `compute.attention`; auto is the fastest that fits the model.

    Returns:
        The model, with that attention.

    Raises:
        ConfigError: If it cannot compute with that attention.
        ModelNotFoundError: If it cannot be loaded, or only from pickled weights, or a weight is
            missing.
    """
    model = load_weights(AutoModelForCausalLM, name, dtype)
    model = model.to(device).eval()  # type: ignore[arg-type]  # their wrapper hides `to`
    fit_attention(model, device, attention)
    return model


def load_weights(
    kind: type[AutoModelForCausalLM | AutoModelForSequenceClassification],
    name: str,
    dtype: torch.dtype,
) -> PreTrainedModel:
    """Load a model of some kind with eager attention, on the CPU.

    Args:
        kind: The auto class.
        name: A bundled name, a folder or a hub id.
        dtype: Precision of the weights.

    Returns:
        The model.

    Raises:
        ModelNotFoundError: If it cannot be loaded, or only from pickled weights, or a weight is
            missing, which transformers would draw at random.
    """
    folder = Path(locate(name))
    options: dict[str, Any] = {"dtype": dtype}
    if is_adapter(folder):
        options["dtype"] = torch.float32
        if kind is AutoModelForSequenceClassification:
            options["num_labels"] = classifier_outputs(folder)
        elif is_classifier_adapter(folder):
            raise ModelNotFoundError(f"adapter {name!r} belongs to a classifier; name its base")
    try:
        loaded: Any = kind.from_pretrained(
            _base_of(str(folder)),
            attn_implementation="eager",
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except UNREADABLE as error:
        raise _not_found(name, error) from None
    model, report = loaded
    if getattr(model, "peft_config", None):
        raise ModelNotFoundError(f"model {name!r} is an adapter; download it, and name the folder")
    has_head = is_adapter(folder) and is_classifier_adapter(folder)
    missing = sorted(
        key for key in report["missing_keys"] if not (has_head and key.startswith(CLASSIFIER_HEAD))
    )
    if missing:
        raise ModelNotFoundError(
            f"model {name!r} has no weights for {len(missing)} parts of a {type(model).__name__}, "
            f"such as {missing[0]}; name a complete model"
        )
    if is_adapter(folder):
        return merge_adapter(model.eval(), folder, dtype)
    return cast(PreTrainedModel, model)


def parameter_count(name: str) -> int:
    """Return the number of a model's parameters, without those of an adapter.

    No weights are allocated: the model is built on the meta device.

    Raises:
        ModelNotFoundError: If the config is missing or inconsistent, or an adapter does not fit.
    """
    config, folder = read_config(name), Path(locate(name))
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except UNREADABLE as error:
        raise _not_found(name, error) from None
    count = sum(parameter.numel() for parameter in model.parameters())
    if is_adapter(folder) and not is_classifier_adapter(folder):
        check_fit(model, folder)
    return count


def _not_found(name: str, error: Exception) -> ModelNotFoundError:
    # An assertion may have no message.
    lines = [line.strip() for line in (str(error).strip() or repr(error)).splitlines()]
    # The first line of an inconsistency names only the check that failed.
    reason = " ".join(lines) if isinstance(error, StrictDataclassError) else lines[0]
    return ModelNotFoundError(
        f"model {name!r} cannot be loaded ({reason}); name a folder, a hub id (owner/name), or "
        f"one of {', '.join(bundled_names())}"
    )
