"""START HERE: one cycle, stage after stage.

Prompts are ingested; where a constitution is named, a model mends its answers by it; the model is
fine-tuned on references and revisions; K candidates are sampled for each prompt; judges judge them;
judgements become rankings and pairs; a reward model learns from those; a policy is improved against
it; the result is evaluated by judges that took no part; it is promoted or refused.
"""

from flows.cycle.cycle import Cycle
from flows.cycle.flow_runs import cycle_flow
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
