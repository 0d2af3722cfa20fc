"""Every architecture through every stage, compared with plain transformers.

`python -m tests.rlhf_core.models.matrix` measures all of them and writes the table of
deploy/docs/models.md anew. The tests hold the same measurements to `EXACT`.
"""

import math
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.reward_reader import RewardReader
from rlhf_core.algorithms.rewards import reward_model_score
from rlhf_core.algorithms.scoring import score_sequences
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import DPOSettings, PPOSettings
from rlhf_core.config.tree import RewardModelSettings, SamplingSettings, SFTSettings
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.artifacts import open_trunk, save_merged, save_role
from rlhf_core.models.classifier import classifier_scores, load_classifier
from rlhf_core.models.kernels.attention import GROUPED
from rlhf_core.models.merging import merge_saved
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import SamplingLimits, sample_on_all_ranks
from tests.conftest import FP32, ROOT
from tests.rlhf_core.models.architectures import CONFIGS, write_architecture

EXACT = 1e-4
"""Largest difference from plain transformers in fp32: nats a token, or units of a score."""
PAGE = ROOT / "deploy" / "docs" / "models.md"
BEGIN, END = "<!-- matrix -->", "<!-- end of the matrix -->"
HEADER = (
    "| architecture | sample | train | SFT | reward model | classifier | PPO | DPO | merge | "
    "shared prompts | attention |"
)
LEARNING_RATE = 1e-2
"""Large enough for one step to move a log-probability by more than EXACT."""


def random_ids(count: int, seed: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(3, 250, (count,), generator=generator).tolist())


PROMPTS = [random_ids(20, seed=1), random_ids(13, seed=2)]
"""Tokens of prompts that are longer than the windows."""
SEQUENCES = [
    TokenSequence(prompt, random_ids(length, seed=length))
    for prompt in PROMPTS
    for length in (12, 9, 5)
]
RANKINGS = [
    RankedCandidates(tuple(SEQUENCES[start : start + 3]), torch.ones(3, 3).triu(diagonal=1))
    for start in (0, 3)
]


@dataclass(frozen=True)
class Agreement:
    """Largest differences from plain transformers (eager attention, a row an answer, no padding).

    Log-probabilities are in nats a token, scores in their own unit.
    """

    sampling: float
    training: float
    """With and without shared prompts."""
    sft: float
    """Of the first step's loss."""
    reward: float
    """Of the trained reward model's scores, from its saved files."""
    classifier: float | None
    """Of a sequence classifier's scores; None if transformers has none of this architecture."""
    ppo: float
    """Between the rollout's log-probabilities and those of the first update."""
    dpo: float
    """Between the first loss and ln 2."""
    merging: float
    """Of SFT model and policy, merged and reloaded."""

    @property
    def worst(self) -> float:
        return max(each for each in vars(self).values() if each is not None)


@dataclass(frozen=True)
class Choice:
    """How Solon computes an architecture."""

    shares_prompts: bool
    has_own_attention: bool


def eager(folder: Path | str) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    return model.eval()  # type: ignore[no-any-return]


def expected_logprobs(model: Any, sequence: TokenSequence) -> Tensor:
    """Return the log-probability of each response token, from its own row without padding, (R,)."""
    ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
    start = len(sequence.prompt_ids)
    with torch.no_grad():
        said = torch.log_softmax(model(input_ids=ids).logits[0], dim=-1)[start - 1 : -1]
    return said.gather(1, ids[0, start:, None]).squeeze(1)


def choice_for(trunk: Trunk) -> Choice:
    attention = trunk.language_model.config._attn_implementation
    return Choice(trunk.shares_prompts, attention == GROUPED)


def sampling_gap(trunk: Trunk, plain: Any) -> float:
    """Return the largest difference in a sampled token's log-probability."""
    limits = SamplingLimits(12, 1.0, trunk.end_ids, trunk.pad_id)
    with trunk.acting_as(Role.REFERENCE) as model:
        drawn = sample_on_all_ranks(model, PROMPTS, [[1, 2], [3]], limits, 2048)
    return max(
        _gap(torch.tensor(answer.logprobs), expected_logprobs(plain, _joined(prompt, answer)))
        for prompt, answers in zip(PROMPTS, drawn, strict=True)
        for answer in answers
    )


def training_gap(trunk: Trunk, plain: Any, role: Role = Role.REFERENCE) -> float:
    """Return the largest difference in a token's log-probability, with and without shared rows."""
    expected = [expected_logprobs(plain, sequence) for sequence in SEQUENCES]
    configured, gaps = trunk.compute, []
    for is_shared in (True, False):
        trunk.compute = replace(configured, share_prompts=is_shared)
        with torch.no_grad():
            found = trunk.token_logprobs(role, trunk.batch(SEQUENCES), 1.0)
        gaps += [_gap(row[: len(own)], own) for row, own in zip(found, expected, strict=True)]
    trunk.compute = configured
    return max(gaps)


def measure(name: str, folder: Path, lora_rank: int | None = 4) -> Agreement:
    """Take an architecture through every stage.

    Args:
        name: Key of CONFIGS.
        folder: Empty folder for the models.
        lora_rank: Rank of the adapters; None trains all weights.
    """
    base = write_architecture(name, folder / "base")
    trunk, plain = open_trunk(base, FP32, lora_rank), eager(base)
    sampling, training = sampling_gap(trunk, plain), training_gap(trunk, plain)
    expected = torch.cat([expected_logprobs(plain, s) for s in SEQUENCES])
    fine_tuning = SFTSettings(prompts_per_step=6, epochs=1, learning_rate=LEARNING_RATE)
    (step,) = train_sft(trunk, SEQUENCES, fine_tuning, seed=1)
    with torch.no_grad():
        taught = trunk.token_logprobs(Role.SFT, trunk.batch(SEQUENCES), 1.0)
    save_merged(trunk, Role.SFT, folder / "sft")
    merging = [_gap(_flat(taught), _plain_flat(folder / "sft"))]
    assert (_plain_flat(folder / "sft") - expected).abs().max() > EXACT, "the step changed nothing"
    trunk = open_trunk(str(folder / "sft"), FP32, lora_rank)
    reward = _reward_gap(trunk, folder, lora_rank)
    ppo = _ppo_gap(trunk)
    with torch.no_grad():
        learnt = trunk.token_logprobs(Role.POLICY, trunk.batch(SEQUENCES), 1.0)
    save_role(trunk, Role.POLICY, folder / "policy-1", folder / "sft")
    merge_saved(folder / "policy-1", folder / "out", FP32)
    merging.append(_gap(_flat(learnt), _plain_flat(folder / "out")))
    trunk.remove_role(Role.POLICY)
    return Agreement(
        sampling=sampling,
        training=training,
        sft=abs(step.metrics["loss"] + expected.mean().item()),
        reward=reward,
        classifier=_classifier_gap(name, folder / "classifier"),
        ppo=ppo,
        dpo=_dpo_gap(trunk),
        merging=max(merging),
    )


def _reward_gap(trunk: Trunk, folder: Path, lora_rank: int | None) -> float:
    """Train a reward model for a step, save it, and score by plain transformers and its head."""
    settings = RewardModelSettings(prompts_per_step=2, epochs=1, learning_rate=LEARNING_RATE)
    list(train_reward_model(trunk, RANKINGS, settings, seed=1))
    scores = score_sequences(trunk, SEQUENCES, Role.REWARD)
    saved = folder / "reward-1"
    save_role(trunk, Role.REWARD, saved, folder / "sft")
    plain: Any = eager(saved) if lora_rank is None else eager(folder / "sft")
    if lora_rank is not None:
        plain = PeftModel.from_pretrained(plain, str(saved)).eval().base_model.model
    head = trunk.heads[Role.REWARD].linear
    gaps = []
    for sequence, score in zip(SEQUENCES, scores, strict=True):
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        with torch.no_grad():
            gaps.append(_gap(score, head(plain.base_model(input_ids=ids).last_hidden_state[0, -1])))
    return max(gaps)


def _ppo_gap(trunk: Trunk) -> float:
    trunk.add_role(Role.POLICY, seed=1)
    settings = PPOSettings(
        steps=1, prompts_per_step=2, samples_per_prompt=2, minibatches=1,
        learning_rate=LEARNING_RATE,
    )  # fmt: skip
    add_critic(trunk, settings)
    (step,) = train_online(
        trunk, PROMPTS, reward_model_score(RewardReader(trunk), 0.0), settings,
        SamplingSettings(max_new_tokens=8), seed=1,
    )  # fmt: skip
    return max(step.metrics["sampling_gap"], abs(step.metrics["first_log_ratio"]))


def _dpo_gap(trunk: Trunk) -> float:
    trunk.add_role(Role.POLICY, seed=2)
    settings = DPOSettings(algorithm="dpo", prompts_per_step=2)
    (step,) = train_dpo(trunk, RANKINGS, settings, seed=1)
    return abs(step.metrics["loss"] - math.log(2))


def _classifier_gap(name: str, folder: Path) -> float | None:
    """Compare the scores of a random classifier; None if transformers has none of this kind."""
    config = CONFIGS[name]()
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return None
    config.num_labels = 1
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    found = classifier_scores(load_classifier(str(folder), FP32), SEQUENCES, FP32)
    plain = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    gaps = []
    for sequence, score in zip(SEQUENCES, found, strict=True):
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        with torch.no_grad():
            gaps.append(_gap(score, plain.eval()(input_ids=ids).logits[0, 0]))
    return max(gaps)


def _joined(prompt: Sequence[int], answer: Any) -> TokenSequence:
    return TokenSequence(tuple(prompt), answer.token_ids)


def _flat(rows: Tensor) -> Tensor:
    return torch.cat([row[: len(s.response_ids)] for row, s in zip(rows, SEQUENCES, strict=True)])


def _plain_flat(folder: Path) -> Tensor:
    plain = eager(folder)
    return torch.cat([expected_logprobs(plain, sequence) for sequence in SEQUENCES])


def _gap(ours: Tensor, theirs: Tensor) -> float:
    return (ours - theirs).abs().max().item()


def row(name: str, folder: Path) -> str:
    """Return the row of the table for an architecture."""
    try:
        choice = choice_for(open_trunk(write_architecture(name, folder / "opened"), FP32, 4))
    except ModelNotFoundError as error:
        return f"| {name} | refused: {error} |" + " |" * 9
    found = measure(name, folder / "measured")
    numbers = [
        found.sampling, found.training, found.sft, found.reward, found.classifier, found.ppo,
        found.dpo, found.merging,
    ]  # fmt: skip
    cells = ["none" if number is None else f"{number:.0e}" for number in numbers]
    shares = "yes" if choice.shares_prompts else "plain rows"
    attention = "Solon's" if choice.has_own_attention else "transformers', eager"
    return f"| {' | '.join([name, *cells, shares, attention])} |"


def table_of(page: str) -> list[list[str]]:
    """Return the cells of each row of the table on the page."""
    between = page.split(BEGIN)[1].split(END)[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in between.split("\n")[4:-2]]


def main() -> None:
    """Measure every architecture and write the table of the page anew."""
    warnings.simplefilter("ignore")
    rows = []
    for name in CONFIGS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(name, Path(folder)))
        print(rows[-1], file=sys.stderr)
    table = "\n".join([HEADER, "|" + "---|" * (HEADER.count("|") - 1), *rows])
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
