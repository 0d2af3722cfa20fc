"""START HERE: one cycle, stage after stage.

Prompts are ingested. If the config names a constitution, a model revises its own answers by it. The
base model is fine-tuned on references and revisions. K candidates are sampled for each prompt;
judges judge them; judgements become rankings and pairs. A reward model is trained on the rankings,
and a policy against the reward model. Judges that took no part in training evaluate the policy,
which is promoted or refused.
"""

from typing import Any

from flows.cycle.cycle import Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import CycleFlow, cycle_flow
from flows.stages.evaluate import evaluate
from flows.stages.ingest import ingest
from flows.stages.judge import judge
from flows.stages.pair import pair
from flows.stages.promote import promote
from flows.stages.report import report
from flows.stages.revise import revise
from flows.stages.sample import sample
from flows.stages.train_policy import train_policy
from flows.stages.train_reward import train_reward
from flows.stages.train_sft import train_sft


@cycle_flow("solon-cycle")
def pipeline(cycle: Cycle) -> None:
    prompts = ingest(cycle)
    reviser = revise(cycle, prompts)
    sft = train_sft(cycle, prompts, reviser)
    candidates = sample(cycle, prompts, sft)
    judge(cycle, prompts, candidates)
    recipe = pair(cycle, prompts, candidates)
    reward_model = train_reward(cycle, prompts, sft, recipe)
    policy = train_policy(cycle, prompts, sft, reward_model, recipe)
    evaluation = evaluate(cycle, prompts, sft, reward_model, policy)
    promote(cycle, evaluation)
    report(cycle)


STAGES: tuple[CycleFlow[..., Any], ...] = (
    ingest,
    revise,
    train_sft,
    sample,
    judge,
    pair,
    train_reward,
    train_policy,
    evaluate,
    promote,
    report,
)


def estimate(work: CycleWork) -> list[Row]:
    """Return the plan of a cycle, in which each stage estimates its own missing work."""
    return [row for stage in STAGES for row in stage.estimate(work)]
