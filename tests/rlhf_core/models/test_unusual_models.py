"""Models as they are published: odd tokens, heads and files each work, or are refused in a line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf

from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.classifier import classifier_scores, load_classifier
from rlhf_core.models.loading import load_tokenizer, parameter_count
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.tiny import SPECIAL_TOKENS, byte_tokenizer
from rlhf_core.models.trunk import Role
from rlhf_core.sampling.local import SamplingLimits, sample_on_all_ranks
from tests.conftest import FP32
from tests.rlhf_core.models.architectures import SMALL

LETTERS = 256
END = len(SPECIAL_TOKENS) - 1
SEQUENCES = [TokenSequence((9, 8, 7), (6, 5, END)), TokenSequence((9, 8, 7), (5,))]


def write(folder: Path, tokenizer: Any, kind: Any = tf.LlamaForCausalLM, **changes: Any) -> str:
    """Save a random Llama with a tokenizer; `kind` is its class."""
    saving = {key: changes.pop(key) for key in ("max_shard_size", "dtype") if key in changes}
    config = tf.LlamaConfig(**{**SMALL, "vocab_size": len(tokenizer), **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config).to(saving.pop("dtype", torch.float32))
    model.save_pretrained(folder, **saving)
    tokenizer.save_pretrained(folder)
    return str(folder)


def plain_logprobs(folder: str, sequence: TokenSequence) -> torch.Tensor:
    model = tf.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    )
    ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
    said = torch.log_softmax(model.eval()(input_ids=ids).logits[0, :-1], -1)
    return said.gather(1, ids[0, 1:, None])[len(sequence.prompt_ids) - 1 :, 0]


def tokenizer_without_padding() -> Any:
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = None
    return tokenizer


def tokenizer_padded_outside() -> Any:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    return tokenizer


def tokenizer_of_one_special_token() -> Any:
    """Padding, the beginning, the end and the unknown are one token, as in GPT-2 and Pythia."""
    tokenizer = byte_tokenizer()
    end = tokenizer.eos_token
    tokenizer.pad_token = tokenizer.bos_token = tokenizer.unk_token = end
    return tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "changes"),
    [
        (tokenizer_without_padding(), {}),
        (tokenizer_padded_outside(), {"vocab_size": len(SPECIAL_TOKENS) + LETTERS}),
        (tokenizer_of_one_special_token(), {}),
        (byte_tokenizer(), {"vocab_size": 512}),
        (byte_tokenizer(), {"tie_word_embeddings": True}),
        (byte_tokenizer(), {"max_shard_size": "40KB"}),
        (byte_tokenizer(), {"dtype": torch.bfloat16}),
    ],
    ids=["no padding", "outside", "one token", "larger", "tied", "sharded", "bf16"],
)
def test_log_probabilities_are_those_of_transformers(
    tmp_path: Path, tokenizer: Any, changes: dict[str, Any]
):
    """In training, and in sampling with rows of several lengths."""
    folder = write(tmp_path, tokenizer, **changes)
    trunk = open_trunk(folder, FP32, 2)
    with torch.no_grad():
        found = trunk.token_logprobs(Role.REFERENCE, trunk.batch(SEQUENCES), 1.0)
        for row, sequence in zip(found, SEQUENCES, strict=True):
            own = row[: len(sequence.response_ids)]
            torch.testing.assert_close(own, plain_logprobs(folder, sequence), atol=1e-4, rtol=0)
        limits = SamplingLimits(6, 1.0, trunk.end_ids, trunk.pad_id)
        prompts = [(9, 8, 7), (20, 21)]
        with trunk.acting_as(Role.REFERENCE) as model:
            drawn = sample_on_all_ranks(model, prompts, [[1, 2], [3]], limits, 2048)
        for prompt, answers in zip(prompts, drawn, strict=True):
            for answer in answers:
                expected = plain_logprobs(folder, TokenSequence(prompt, answer.token_ids))
                said = torch.tensor(answer.logprobs)
                torch.testing.assert_close(said, expected, atol=1e-4, rtol=0)
                assert isinstance(trunk.tokenizer.decode(answer.token_ids), str)


def test_padding_is_a_token_that_the_model_knows(tmp_path: Path):
    known = len(SPECIAL_TOKENS) + LETTERS
    folder = write(tmp_path, tokenizer_padded_outside(), vocab_size=known)
    assert load_tokenizer(folder).pad_token_id < known


def test_an_end_that_the_model_does_not_know_is_refused(tmp_path: Path):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"eos_token": "[END]"})
    folder = write(tmp_path, tokenizer, vocab_size=len(SPECIAL_TOKENS) + LETTERS)
    with pytest.raises(ModelNotFoundError, match=r"'\[END\]' has id 259, and the model knows 259"):
        load_tokenizer(folder)


def test_a_model_without_its_output_embedding_is_refused(tmp_path: Path):
    """A random one would take its place, as in a reward model that is named as the policy."""
    folder = write(
        tmp_path, byte_tokenizer(), tf.LlamaForSequenceClassification,
        num_labels=1, tie_word_embeddings=False,
    )  # fmt: skip
    with pytest.raises(ModelNotFoundError, match=r"no weights for 1 .*such as lm_head\.weight"):
        open_trunk(folder, FP32, 2)


def test_a_classifier_without_its_head_is_refused(tmp_path: Path):
    folder = write(tmp_path, byte_tokenizer(), num_labels=1)
    with pytest.raises(ModelNotFoundError, match=r"no weights for 1 .*such as score\.weight"):
        load_classifier(folder, FP32)


@pytest.mark.parametrize("padding", [None, 0, END])
def test_a_classifier_scores_a_batch_as_transformers_scores_each_alone(
    tmp_path: Path, padding: int | None
):
    """Its config names no padding, or an unused token, or the end of text."""
    folder = write(
        tmp_path, byte_tokenizer(), tf.LlamaForSequenceClassification,
        num_labels=1, pad_token_id=padding,
    )  # fmt: skip
    found = classifier_scores(load_classifier(folder, FP32), SEQUENCES, FP32)
    plain = tf.AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager"
    )
    for score, sequence in zip(found, SEQUENCES, strict=True):
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        assert score.item() == pytest.approx(plain(input_ids=ids).logits.item(), abs=1e-4)


def test_a_config_whose_padding_the_embedding_lacks_is_refused_before_weights_are_read(
    tmp_path: Path,
):
    folder = write(tmp_path, byte_tokenizer())
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token_id": 4000}))
    with pytest.raises(ModelNotFoundError, match=r"cannot be loaded \(Padding_idx must be within"):
        parameter_count(folder)


def test_a_text_longer_than_the_model_reads_is_refused_in_training(tmp_path: Path):
    trunk = open_trunk(write(tmp_path, byte_tokenizer(), max_position_embeddings=5), FP32, 2)
    with pytest.raises(TrainingError, match=r"has 6 tokens, and the model reads at most 5"):
        trunk.batch(SEQUENCES)
