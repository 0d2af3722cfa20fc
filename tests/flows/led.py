"""Samples, trains and scores the tiny model through `on_all_ranks`; alone, by `save` and `run`.

    torchrun --nproc-per-node 2 -m tests.flows.led OUT.safetensors [fail|shard]

No Prefect and no store. The reward is the reward model's and a judge's. With fail, what follows
meets a bug at its first optimizer step; with shard, the layers lie in shards.
"""

import json
import sys
from pathlib import Path

from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

from flows.cli.run import follow_to_the_end
from flows.terminal.stopping import end_now
from flows.training.rewards import RewardJudges, build_reward
from judges import Ledger
from rlhf_core.algorithms.checkpoints import NO_CHECKPOINTS
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.scoring import score_sequences
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.algorithms.watch import StepVerdict
from rlhf_core.config import JudgeSettings
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.config.policy import PolicySettings
from rlhf_core.config.training import PPOSettings, RewardSettings
from rlhf_core.config.tree import JudgingSettings, SamplingSettings, SFTSettings
from rlhf_core.distributed.collective import RankZeroOnly, lead, on_all_ranks
from rlhf_core.distributed.launch import launched_rank, launched_world_size
from rlhf_core.distributed.ranks import world_size
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import choose_compute
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Mode, Prompt, Split
from rlhf_core.records.conversation import ask
from rlhf_core.sampling.candidates import Completion, PolicySampler

PROMPTS = [
    Prompt(text=f"Say {'so ' * n}.", mode=Mode.KNOWLEDGE_SEEKING, split=Split.TRAIN)
    for n in range(1, 8)
]
SHARD = "shard" in sys.argv
SAMPLING = SamplingSettings(max_new_tokens=6)


class Counting(Ledger):
    """Says how often it was flushed: a judge was asked."""

    asked = 0

    def flush(self) -> None:
        assert world_size() == 1
        self.asked += 1


class EndsSecond:
    """Ends a training of three steps after the second, with the weights after the first."""

    asked = 0

    def verdict(self) -> StepVerdict:
        assert world_size() == 1
        self.asked += 1
        return StepVerdict(is_best=self.asked == 2, is_last=self.asked == 2)


def broken(self: Updater) -> tuple[float, float]:
    raise ZeroDivisionError


def main() -> None:
    out = Path(sys.argv[1])
    if launched_rank() > 0:
        if sys.argv[2:] == ["fail"]:
            Updater.step = broken  # type: ignore[method-assign]
        follow_to_the_end()
        services = sorted({"prefect", "duckdb"} & set(sys.modules))
        out.with_suffix(f".{launched_rank()}.json").write_text(json.dumps(services))
        return
    with lead(end_now):
        assert world_size() == 1
        save(out, *run())


def run() -> tuple[dict[str, object], dict[Role, dict[str, object]]]:
    settings = ComputeSettings(
        device="cpu", precision="fp32", tokens_per_microbatch=64, shard=SHARD
    )
    trunk = on_all_ranks(open_trunk, "tiny-random", on_all_ranks(choose_compute, settings), 4)
    sampler = on_all_ranks(PolicySampler, trunk, Role.REFERENCE, PolicySettings(), SAMPLING)
    drawn = on_all_ranks(sampler, PROMPTS, [[n, n + 100] for n in range(len(PROMPTS))])
    answers = [one for row in drawn for one in row if isinstance(one, Completion)]
    prompts = [tuple(sampler.chat.prompt_ids(ask(prompt.instruction))) for prompt in PROMPTS]
    shown = [TokenSequence(prompt, (5, 6, 7)) for prompt in prompts]
    steps = list(on_all_ranks(train_sft, trunk, shown, SFTSettings(prompts_per_step=4), 1))
    for role in (Role.POLICY, Role.REWARD):
        on_all_ranks(trunk.add_role, role, 1)
    ppo = PPOSettings(steps=3, prompts_per_step=4, samples_per_prompt=2)
    on_all_ranks(add_critic, trunk, ppo)
    ledger = Counting()
    judged = RewardSettings(judges=(JudgeSettings(kind="brevity"),))
    reward = on_all_ranks(
        build_reward, judged, trunk, PROMPTS, RankZeroOnly(RewardJudges(ledger, JudgingSettings()))
    )
    watch, none = RankZeroOnly(EndsSecond()), NO_CHECKPOINTS
    online = on_all_ranks(train_online, trunk, prompts, reward, ppo, SAMPLING, 1, (), none, watch)
    steps += list(online)
    scores = on_all_ranks(score_sequences, trunk, shown, Role.REWARD)
    found = {
        "processes": launched_world_size(),
        "held": layer_weights_held(trunk),
        "asked": ledger.asked,
        "texts": [one.text for one in answers],
        "metrics": [dict(step.metrics) for step in steps],
        "scores": scores.tolist(),
    }
    return found, {role: trunk.roles.weights(role) for role in (Role.SFT, Role.POLICY, Role.CRITIC)}


def layer_weights_held(trunk: Trunk) -> int:
    """By this process, of the frozen ones."""
    named = trunk.language_model.base_model.layers.named_parameters()
    frozen = [weights for name, weights in named if "lora" not in name]
    return sum(w.to_local().numel() if isinstance(w, DTensor) else w.numel() for w in frozen)


def save(out: Path, found: dict[str, object], weights: dict[Role, dict[str, object]]) -> None:
    tensors = {f"{role}.{name}": value for role in weights for name, value in weights[role].items()}
    save_file(tensors, out)  # type: ignore[arg-type]
    out.with_suffix(".json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
