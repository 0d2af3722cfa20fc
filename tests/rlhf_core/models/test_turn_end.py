"""Chat models whose turn ends with a token other than their tokenizer's end of text."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer as Core
from tokenizers import decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from rlhf_core.algorithms.rollouts import Rollout, roll_out
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.models.artifacts import open_trunk, save_merged, save_role
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.models.turn_end import demonstration_end, end_ids
from rlhf_core.sampling.local import SamplingLimits, sample_on_all_ranks
from tests.conftest import FP32

SPECIAL = ["<pad>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<other_end>"]
PAD, EOS, START, TURN, OTHER = range(5)
GEMMA = (
    "{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
PHI = (
    "{% for m in messages %}<start_of_turn>{{ m['content'] }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>{% else %}{{ eos_token }}{% endif %}"
)
MISTRAL = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
PLAIN_WORDS = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
USER_ALONE = (
    "{% if messages | length > 1 %}{{ raise_exception('one message only') }}{% endif %}"
    "{{ messages[0]['content'] }}"
)
SAMPLING = SamplingSettings(max_new_tokens=24)


def tokenizer_with(template: str | None, is_turn_special: bool = True) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *alphabet])}
    core = Core(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = SPECIAL if is_turn_special else [token for token in SPECIAL if token != SPECIAL[TURN]]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=SPECIAL[PAD],
        eos_token=SPECIAL[EOS],
        additional_special_tokens=[t for t in special if t not in (SPECIAL[PAD], SPECIAL[EOS])],
    )
    if not is_turn_special:
        tokenizer.add_tokens([SPECIAL[TURN]])
    tokenizer.chat_template = template
    return tokenizer


def write_model(folder: Path, named: int | list[int] | None, is_turn_special: bool = True) -> str:
    """Save a model that ends its turn every few tokens, with those ids in its generation config."""
    tokenizer = tokenizer_with(GEMMA, is_turn_special)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=PAD,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            model.lm_head.weight[[TURN, OTHER]] *= 3
    model.generation_config = GenerationConfig(eos_token_id=named, pad_token_id=PAD)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def rolled_out(trunk: Trunk) -> list[Rollout]:
    prompt = list(range(20, 30))
    return roll_out(trunk, [prompt], [0], [list(range(60))], SAMPLING, Role.REFERENCE)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (GEMMA, TURN),
        (PHI, TURN),
        (MISTRAL, EOS),
        (PLAIN_WORDS, EOS),
        (USER_ALONE, EOS),
        (None, EOS),
    ],
)
def test_an_answer_is_taught_the_end_that_the_template_writes(template: str, expected: int):
    tokenizer = tokenizer_with(template)
    assert demonstration_end(tokenizer) == expected
    ids = ChatFormat(tokenizer, None).answer_ids("Blue.")
    assert ids[-1] == expected
    assert not set(ids[:-1]) & set(range(len(SPECIAL)))
    assert ChatFormat(tokenizer, None).decode(ids) == "Blue."


@pytest.mark.parametrize(
    ("named", "expected"),
    [(None, {EOS, TURN}), (OTHER, {EOS, TURN, OTHER}), ([EOS, OTHER], {EOS, TURN, OTHER})],
)
def test_every_end_that_any_config_names_ends_an_answer(
    tmp_path: Path, named: int | list[int] | None, expected: set[int]
):
    trunk = open_trunk(write_model(tmp_path, named), FP32, 2)
    assert trunk.end_ids == expected
    for rollout, ids in zip(rolled_out(trunk), _drawn_without_ends(trunk), strict=True):
        places = [place for place, token in enumerate(ids) if token in expected]
        cut = ids[: places[0] + 1] if places else ids
        assert list(rollout.tokens.response_ids) == cut
        assert rollout.finish_reason == ("eos" if places else "length")


def _drawn_without_ends(trunk: Trunk) -> list[list[int]]:
    """Return the answers from the same seeds when no token ends them."""
    limits = SamplingLimits(SAMPLING.max_new_tokens, 1.0, frozenset(), trunk.pad_id)
    prompt = list(range(20, 30))
    with trunk.acting_as(Role.REFERENCE) as model:
        (drawn,) = sample_on_all_ranks(model, [prompt], [list(range(60))], limits, 4096)
    return [list(answer.token_ids) for answer in drawn]


def test_as_many_answers_end_as_those_of_generate(tmp_path: Path):
    """The model is handed out, and plain transformers generate with its folder alone.

    The shares agree within four standard errors of 400 answers each.
    """
    trunk = open_trunk(write_model(tmp_path / "source", [OTHER]), FP32, 2)
    trunk.add_role(Role.SFT, 1)
    folder = str(tmp_path / "merged")
    save_merged(trunk, Role.SFT, Path(folder))
    assert AutoTokenizer.from_pretrained(folder).chat_template == GEMMA
    model, count = AutoModelForCausalLM.from_pretrained(folder), 400
    torch.manual_seed(0)
    prompts = torch.tensor([list(range(20, 30))] * count)
    drawn = model.generate(prompts, max_new_tokens=24, do_sample=True, top_k=0)
    ends = torch.tensor([EOS, OTHER, TURN])
    theirs = torch.isin(drawn[:, 10:], ends).any(dim=1).float().mean().item()
    trunk = open_trunk(folder, FP32, 2)
    answers = roll_out(
        trunk, [prompts[0].tolist()], [0], [list(range(count))], SAMPLING, Role.REFERENCE
    )
    ours = sum(answer.finish_reason == "eos" for answer in answers) / count
    assert 0.3 < theirs < 0.99
    assert ours == pytest.approx(theirs, abs=4 * (2 * theirs * (1 - theirs) / count) ** 0.5)


@pytest.mark.parametrize("is_turn_special", [True, False])
def test_the_end_is_no_part_of_the_words(tmp_path: Path, is_turn_special: bool):
    """A tokenizer decodes an added token as text if it is not special."""
    trunk = open_trunk(write_model(tmp_path, None, is_turn_special), FP32, 2)
    ended = [answer for answer in rolled_out(trunk) if answer.tokens.response_ids[-1] == TURN]
    assert ended
    assert not any("end_of_turn" in answer.text for answer in ended)


@pytest.mark.parametrize("lora_rank", [2, None])
def test_what_is_handed_out_names_every_end(tmp_path: Path, lora_rank: int | None):
    """A server of the saved model then ends its answers where training did."""
    source = write_model(tmp_path / "source", [OTHER])
    trunk = open_trunk(source, FP32, lora_rank)
    trunk.add_role(Role.POLICY, 1)
    policy = tmp_path / "policy"
    if lora_rank is None:
        save_role(trunk, Role.POLICY, policy, Path(source))
        named = json.loads((policy / "generation_config.json").read_text())["eos_token_id"]
        assert named == [EOS, TURN, OTHER]
    save_merged(trunk, Role.POLICY, tmp_path / "merged")
    generation = GenerationConfig.from_pretrained(tmp_path / "merged")
    assert generation.eos_token_id == [EOS, TURN, OTHER]


def test_one_end_is_kept_as_one(tmp_path: Path):
    trunk = open_trunk("tiny-random", FP32, 2)
    trunk.add_role(Role.SFT, 1)
    assert end_ids(trunk.language_model, trunk.tokenizer) == {trunk.eos_id}
    save_merged(trunk, Role.SFT, tmp_path / "merged")
    assert GenerationConfig.from_pretrained(tmp_path / "merged").eos_token_id == trunk.eos_id
