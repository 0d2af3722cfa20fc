"""START HERE: one cycle, stage after stage.

Prompts are ingested. If the config names a constitution, a model revises its own answers by it. The
base model is fine-tuned on references and revisions. K candidates are sampled for each prompt;
judges judge them; judgements become rankings and pairs. Answers that raised alarms of the guard in
earlier cycles are judged as well. A reward model is trained on the rankings, and a policy against
the reward model. Judges that took no part in training evaluate the policy,
which is promoted or refused.

Each group of stages below can also run by itself. It finds in the store what the group before it
handed over.
"""

from typing import Any

from flows.cycle.cycle import Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import CycleFlow, cycle_flow
from flows.cycle.handover import handed_over, ranked
from flows.stages.evaluate import evaluate
from flows.stages.ingest import ingest
from flows.stages.judge import judge
from flows.stages.pair import pair
from flows.stages.promote import promote
from flows.stages.repair import repair
from flows.stages.report import report
from flows.stages.revise import revise
from flows.stages.sample import sample
from flows.stages.train_policy import train_policy
from flows.stages.train_reward import train_reward
from flows.stages.train_sft import train_sft


def feedback(cycle: Cycle) -> None:
    """Collect feedback: prompts, candidates, judgements, rankings; and the SFT model if missing."""
    prompts = ingest(cycle)
    reviser = revise(cycle, prompts)
    sft = train_sft(cycle, prompts, reviser)
    candidates = sample(cycle, prompts, sft)
    judge(cycle, prompts, candidates)
    pair(cycle, prompts, candidates)
    repair(cycle, prompts, candidates)


def reward_model(cycle: Cycle) -> None:
    """Train the reward model on all rankings so far."""
    had = ranked(cycle)
    train_reward(cycle, had.prompt_set_id, had.sft_id, had.recipe)


def policy(cycle: Cycle) -> None:
    """Train the policy against the cycle's reward model, which later rankings do not change."""
    had = handed_over(cycle, "train_reward")
    train_policy(cycle, had.prompt_set_id, had.sft_id, had.reward_id, had.recipe)


def evaluation(cycle: Cycle) -> None:
    """Evaluate the policy on held-out prompts."""
    had = handed_over(cycle, "train_policy")
    evaluate(cycle, had.prompt_set_id, had.sft_id, had.reward_id, had.policy_id)


def promotion(cycle: Cycle) -> None:
    """Decide on the policy, and end the cycle with its page."""
    if promote(cycle, handed_over(cycle, "evaluate").evaluation_id) is not None:
        report(cycle)  # else a person has to decide first


@cycle_flow("solon-cycle", is_stage=False)
def pipeline(cycle: Cycle) -> None:
    feedback(cycle)
    reward_model(cycle)
    policy(cycle)
    evaluation(cycle)
    promotion(cycle)


STAGES: tuple[CycleFlow[..., Any], ...] = (
    ingest,
    revise,
    train_sft,
    sample,
    judge,
    pair,
    repair,
    train_reward,
    train_policy,
    evaluate,
    promote,
    report,
)


def estimate(work: CycleWork) -> list[Row]:
    """Return the plan of a cycle, in which each stage estimates its own missing work."""
    return [row for stage in STAGES for row in stage.estimate(work)]
