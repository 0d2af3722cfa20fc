import pytest
import torch

from rlhf_core.config import Config
from rlhf_core.evaluation.comparison import Comparison, sequence_kl
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Judgement, Outcome
from tests.facts import candidate, prompt

CONFIG = Config.model_validate(
    {
        "prompts": {"path": "p.jsonl"},
        "judges": [{"kind": "similarity"}],
        "evaluation": {"judges": [{"kind": "verifier"}], "bootstrap_resamples": 100},
    }
)
PROMPTS = [prompt("One?"), prompt("Two?")]


def answers(model_id: str):
    return {
        asked.id: [
            candidate("x y", index, prompt_id=asked.id, model_id=model_id) for index in range(2)
        ]
        for asked in PROMPTS
    }


def score(of, value: float) -> Judgement:
    return Judgement(
        prompt_id=of.prompt_id,
        judge="verifier",
        judge_version="v",
        candidate_id=of.id,
        outcome=Outcome.SCORED,
        score=value,
    )


def test_figures_by_hand():
    """Prompt one: win, tie. Prompt two: loss, unscored. Rates 3/4 and 0; scores 0.5 and 0.4."""
    policy, baseline = answers("policy"), answers("sft")
    (a, b), (c, _) = (policy[asked.id] for asked in PROMPTS)
    (e, f), (g, _) = (baseline[asked.id] for asked in PROMPTS)
    judgements = [score(a, 0.9), score(e, 0.4), score(b, 0.5), score(f, 0.5)]
    judgements += [score(c, 0.1), score(g, 0.3)]
    found = Comparison(PROMPTS, policy, baseline, kl=1.5).evaluate(
        CONFIG, judgements, "verifier", "v", "decides"
    )
    assert found.win_rate == pytest.approx(0.375)
    assert (found.prompts, found.comparisons, found.unscored) == (2, 4, 1)
    assert found.policy_score == pytest.approx(0.5)
    assert found.baseline_score == pytest.approx(0.4)
    assert (found.policy_tokens, found.policy_eos_rate, found.kl) == (3.0, 1.0, 1.5)


def test_another_judges_scores_do_not_count():
    policy, baseline = answers("policy"), answers("sft")
    judgements = [score(a, 0.9) for group in policy.values() for a in group]
    found = Comparison(PROMPTS, policy, baseline, kl=0.0).evaluate(
        CONFIG, judgements, "other", "other", "reports"
    )
    assert (found.win_rate, found.policy_score, found.unscored) == (None, None, 4)


def test_kl_is_summed_over_each_answer(trunk: Trunk):
    trunk.add_role(Role.POLICY, 1)
    sequences = [TokenSequence((10, 11), (12, 13, 14)), TokenSequence((20,), (21,))]
    assert sequence_kl(trunk, sequences, 1.0).abs().max() < 1e-5
    for parameter in trunk.parameters(Role.POLICY):
        torch.nn.init.normal_(parameter, std=0.2)
    found = sequence_kl(trunk, sequences, 1.0)
    for index, sequence in enumerate(sequences):
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        logps = []
        for role in (Role.POLICY, Role.REFERENCE):
            with torch.no_grad(), trunk.acting_as(role) as model:
                logprobs = torch.log_softmax(model(input_ids=ids).logits[0, :-1], -1)
                logps.append(logprobs.gather(1, ids[0, 1:, None]).squeeze(1))
        expected = (logps[0] - logps[1])[len(sequence.prompt_ids) - 1 :].sum()
        assert found[index].item() == pytest.approx(expected.item(), abs=1e-4)
