"""Spellings of labels in a local model's tokenizer, and the probability of each label."""

import math
from collections.abc import Sequence

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from judges import load
from judges.language_model import label_tokens
from judges.language_model.label_tokens import LabelTokens
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.records.conversation import ask
from rlhf_core.sampling.next_token import next_token_probabilities

DIGITS = tuple("123456789")
SPACE = "▁"


def metaspace(*words: str) -> ChatFormat:
    """A tokenizer like SentencePiece's: it puts a space before every text."""
    vocabulary = {word: number for number, word in enumerate(["<unk>", "</s>", SPACE, *words])}
    merges = [(SPACE, "A")] if f"{SPACE}A" in vocabulary else []
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.Fuse()])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", pad_token="</s>"
    )
    return ChatFormat(fast, None)


class Model:
    """Looks up the next token's probabilities by the last tokens of the prompt.

    Args:
        chances: By end of the prompt: probabilities by token.
    """

    def __init__(self, chances: dict[tuple[int, ...], dict[int, float]]) -> None:
        self.chances = chances
        self.asked = 0

    def __call__(
        self, model: object, prompts: Sequence[Sequence[int]], choices: Sequence[int], *rest: int
    ) -> torch.Tensor:
        self.asked += len(prompts)
        rows = [self.chances[tuple(prompt[1:])] for prompt in prompts]
        return torch.tensor([[row.get(token, 0.0) for token in choices] for row in rows])


def test_digits_that_share_their_first_token_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    """The lone space has 0.9 and then 7 has 0.5: 0.45; with the 0.02 of 7 at once 0.47."""
    chat = metaspace(*DIGITS)
    assert len({chat.plain_ids(digit)[0] for digit in DIGITS}) == 1
    ids = chat.tokenizer.get_vocab()
    model = Model(
        {
            (): {ids[SPACE]: 0.9, ids["7"]: 0.02},
            (ids[SPACE],): {ids["7"]: 0.5, ids["3"]: 0.25, ids[SPACE]: 0.001},
        }
    )
    monkeypatch.setattr(label_tokens, "next_token_probabilities", model)
    (found,) = LabelTokens(chat, DIGITS).mass(model, [[0]], 100)
    expected = {**dict.fromkeys(DIGITS, 0.0), "7": 0.47, "3": 0.225}
    assert found == pytest.approx(expected)
    assert model.asked == 2  # what is too unlikely is not followed


def test_a_label_that_the_tokenizer_cannot_write_is_refused():
    with pytest.raises(ConfigError, match=r"cannot answer '9': .* cannot be told apart"):
        LabelTokens(metaspace(*DIGITS[:-1]), DIGITS)


def test_a_label_of_several_tokens_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch):
    """Yes as Y, e, s: 0.8 · 0.5 · 1; No as N, o: 0.1 · 1."""
    chat = metaspace("Y", "e", "s", "N", "o")
    ids = chat.tokenizer.get_vocab()
    y, e, s, n, o = (ids[letter] for letter in "YesNo")
    model = Model({(): {y: 0.8, n: 0.1}, (y,): {e: 0.5}, (y, e): {s: 1.0}, (n,): {o: 1.0}})
    monkeypatch.setattr(label_tokens, "next_token_probabilities", model)
    (found,) = LabelTokens(chat, ("Yes", "No")).mass(model, [[0]], 100)
    assert found == pytest.approx({"Yes": 0.4, "No": 0.1})


def test_the_spellings_of_a_real_tokenizer():
    chat = ChatFormat(load_tokenizer("smollm2-135m-instruct"), None)
    tokenizer = chat.tokenizer
    step = LabelTokens(chat, ("Yes", "No"))._step("")
    spelt: dict[str, set[str]] = {"Yes": set(), "No": set()}
    for token, label in step.labels.items():
        spelt[label].add(tokenizer.decode([token]))
    assert {"Yes", " Yes", "yes", " yes"} <= spelt["Yes"]
    assert {"No", " No", "no", " no", "NO"} <= spelt["No"]
    assert not {"know", "Not", "None"} & spelt["No"]
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in step.tokens


def test_mass_is_that_of_the_model_over_all_first_tokens():
    """Against the softmax of a plain forward pass, summed by hand over the spellings of A."""
    from judges.language_model.local import LocalModel

    local = LocalModel("tiny-random")
    labels = local.labels(("A", "B"))
    prompt = local._chat.prompt_ids(ask("Which one?"))
    (found,) = labels.mass(local._model, [prompt], 100)
    ids = [token for token, label in labels._step("").labels.items() if label == "A"]
    assert {"A", "a"} == {local._chat.tokenizer.decode([token]) for token in ids}
    chances = next_token_probabilities(local._model, [prompt], ids, local._chat.pad_id, 100)
    assert math.isclose(found["A"], chances.sum().item(), abs_tol=5e-3)


def test_a_judge_is_refused_before_it_is_asked(monkeypatch: pytest.MonkeyPatch):
    judge = load(JudgeSettings.model_validate({"kind": "direct", "model": "tiny-random"}))
    monkeypatch.setattr(judge._model._local, "_chat", metaspace("1", "2"))
    with pytest.raises(ConfigError, match="cannot be told apart"):
        judge.check()
