import numpy as np
import pytest
import torch

from rlhf_core.algorithms.scoring import sequence_kl
from rlhf_core.config import Config
from rlhf_core.evaluation.comparison import (
    REWARD_SCALE,
    EvaluationJudge,
    ModelComparison,
    settings_hash,
)
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Judgement, Outcome
from tests.facts import candidate, prompt

CONFIG = Config.model_validate(
    {
        "prompts": {"path": "p.jsonl"},
        "judges": [{"kind": "similarity"}],
        "evaluation": {"judges": [{"kind": "verifier"}]},
    }
)
PROMPTS = [prompt("One?"), prompt("Two?")]


VERIFIER = EvaluationJudge("verifier", "v", "decides")


def answers(model_id: str, text: str | None = None):
    """Two answers to each prompt, which differ from model to model unless the text is given."""
    return {
        asked.id: [
            candidate(text or f"x {model_id}", index, prompt_id=asked.id, model_id=model_id)
            for index in range(2)
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
    (a, b), (c, d) = (policy[asked.id] for asked in PROMPTS)
    (e, f), (g, h) = (baseline[asked.id] for asked in PROMPTS)
    judgements = [score(a, 0.9), score(e, 0.4), score(b, 0.5), score(f, 0.5)]
    judgements += [score(c, 0.1), score(g, 0.3)]
    compared = ModelComparison(PROMPTS, policy, baseline, kl=1.5, settings="s")
    found, results = compared.evaluate(CONFIG, judgements, VERIFIER)
    assert found.win_rate == pytest.approx(0.375)
    assert (found.prompts, found.comparisons, found.unscored) == (2, 4, 1)
    assert found.policy_score == pytest.approx(0.5)
    assert found.baseline_score == pytest.approx(0.4)
    assert (found.policy_tokens, found.policy_eos_rate, found.kl) == (3.0, 1.0, 1.5)
    told = [(each.prompt_id, each.sample, each.policy_candidate_id) for each in results]
    one, two = (asked.id for asked in PROMPTS)
    assert told == [(one, 0, a.id), (one, 1, b.id), (two, 0, c.id), (two, 1, d.id)]
    assert [each.baseline_candidate_id for each in results] == [e.id, f.id, g.id, h.id]
    assert {each.evaluation_id for each in results} == {found.id}
    signs = [None if each.margin is None else np.sign(each.margin) for each in results]
    assert signs == [1, 0, -1, None]  # the unscored comparison is a row too


def test_another_judges_scores_do_not_count():
    policy, baseline = answers("policy"), answers("sft")
    judgements = [score(a, 0.9) for group in policy.values() for a in group]
    compared = ModelComparison(PROMPTS, policy, baseline, kl=0.0, settings="s")
    found, _ = compared.evaluate(CONFIG, judgements, EvaluationJudge("other", "other", "reports"))
    assert (found.win_rate, found.policy_score, found.unscored) == (None, None, 4)


def test_identical_texts_are_tied_whatever_noise_says():
    """In bf16 one text was scored 0.16 apart in two batches."""
    policy, baseline = answers("policy", "Paris."), answers("sft", "Paris.")
    ours, theirs = ([a for group in side.values() for a in group] for side in (policy, baseline))
    judgements = [*(score(a, 0.6) for a in ours), *(score(a, 0.44) for a in theirs)]
    compared = ModelComparison(PROMPTS, policy, baseline, kl=0.0, settings="s")
    found, _ = compared.evaluate(CONFIG, judgements, VERIFIER)
    assert (found.win_rate, found.unscored) == (0.5, 0)
    nothing, _ = compared.evaluate(CONFIG, [], VERIFIER)
    assert (nothing.win_rate, nothing.unscored) == (None, 4)


@pytest.mark.parametrize(("chance", "rate"), [(0.54, 0.5), (0.56, 1.0), (0.44, 0.0)])
def test_answers_within_the_tie_margin_are_tied(chance: float, rate: float):
    """Of a judge that compares, 2 P − 1 is 0.08, 0.12 and −0.12; the tie margin is 0.1."""
    policy, baseline = answers("policy"), answers("sft")
    contests = [
        pair
        for asked in PROMPTS
        for ours, theirs in zip(policy[asked.id], baseline[asked.id], strict=True)
        for pair in ((ours, theirs, chance), (theirs, ours, 1 - chance))
    ]
    judgements = [
        Judgement(
            prompt_id=first.prompt_id,
            judge="verifier",
            judge_version="v",
            candidate_id=first.id,
            opponent_id=second.id,
            outcome=Outcome.FIRST if probability > 0.5 else Outcome.SECOND,
            probability=probability,
        )
        for first, second, probability in contests
    ]
    compared = ModelComparison(PROMPTS, policy, baseline, kl=0.0, settings="s")
    assert compared.evaluate(CONFIG, judgements, VERIFIER).evaluation.win_rate == rate


@pytest.mark.parametrize(
    ("seat", "apart", "rate"),
    [
        (VERIFIER, 0.019, 0.5),
        (VERIFIER, 0.022, 1.0),
        (VERIFIER._replace(scale=0.2), 0.022, 0.5),
        (EvaluationJudge("proxy", "v", "proxy", REWARD_SCALE), 0.19, 0.5),
        (EvaluationJudge("proxy", "v", "proxy", REWARD_SCALE), 0.22, 1.0),
    ],
)
def test_scores_and_rewards_that_differ_by_noise_are_tied(
    seat: EvaluationJudge, apart: float, rate: float
):
    """2 P − 1 is tanh(apart / 2 scale), which passes 0.1 where that is 0.1003: at 0.2007 scales."""
    policy, baseline = answers("policy"), answers("sft")
    judgements = [score(a, 0.0) for group in baseline.values() for a in group]
    judgements += [score(a, apart) for group in policy.values() for a in group]
    compared = ModelComparison(PROMPTS, policy, baseline, kl=0.0, settings="s")
    assert compared.evaluate(CONFIG, judgements, seat).evaluation.win_rate == rate


@pytest.mark.parametrize(
    ("apart", "rate"), [(0.28, 0.5), (0.29, 1.0)], ids=["within its noise", "beyond it"]
)
def test_scores_that_differ_by_less_than_a_judge_s_own_noise_are_tied(apart: float, rate: float):
    """A score has deviation 0.2, so two differ by √2 · 0.2 = 0.2828 by chance."""
    policy, baseline = answers("policy"), answers("sft")
    judgements = [score(a, 0.0) for group in baseline.values() for a in group]
    judgements += [score(a, apart) for group in policy.values() for a in group]
    compared = ModelComparison(PROMPTS, policy, baseline, kl=0.0, settings="s")
    noisy = VERIFIER._replace(deviation=0.2)
    found = compared.evaluate(CONFIG, judgements, noisy).evaluation
    assert found.win_rate == rate
    assert found.tie_tolerance == pytest.approx(0.28284, abs=1e-5)


@pytest.mark.parametrize(("apart", "rate"), [(5e-7, 0.5), (2e-5, 1.0)])
def test_scores_that_differ_by_rounding_are_tied(apart: float, rate: float):
    """Also where no margin is a tie, and the scale is tiny."""
    policy, baseline = answers("policy"), answers("sft")
    judgements = [score(a, 0.8) for group in baseline.values() for a in group]
    judgements += [score(a, 0.8 * (1 + apart)) for group in policy.values() for a in group]
    compared = ModelComparison(PROMPTS, policy, baseline, kl=0.0, settings="s")
    config = CONFIG.model_copy(
        update={"preferences": CONFIG.preferences.model_copy(update={"tie_margin": 0.0})}
    )
    sharp = VERIFIER._replace(scale=1e-6)
    found = compared.evaluate(config, judgements, sharp).evaluation
    assert (found.win_rate, found.tie_tolerance) == (rate, 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluation.temperature": 0.5},
        {"evaluation.samples_per_prompt": 3},
        {"sampling.max_new_tokens": 7},
        {"policy.system_prompt": "Be brief."},
        {"preferences.tie_margin": 0.3},
        {"promotion.confidence": 0.9},
        {"seed": 2},
    ],
    ids=str,
)
def test_what_changes_an_evaluation_changes_its_settings(changes: dict[str, object]):
    tree = CONFIG.model_dump()
    for key, value in changes.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node[parent]
        node[last] = value
    before = settings_hash(CONFIG, PROMPTS, [VERIFIER], [])
    assert settings_hash(Config.model_validate(tree), PROMPTS, [VERIFIER], []) != before


def test_who_looks_and_what_they_said_are_part_of_the_settings():
    said = score(answers("policy")[PROMPTS[0].id][0], 0.5)
    cases = [
        (PROMPTS, [VERIFIER], []),
        (PROMPTS[:1], [VERIFIER], []),
        (PROMPTS, [VERIFIER._replace(role="reports")], []),
        (PROMPTS, [VERIFIER._replace(scale=0.3)], []),
        (PROMPTS, [VERIFIER, EvaluationJudge("other", "o", "reports")], []),
        (PROMPTS, [VERIFIER], [said]),
    ]
    assert len({settings_hash(CONFIG, *case) for case in cases}) == len(cases)
    assert settings_hash(CONFIG, PROMPTS[::-1], [VERIFIER], []) == settings_hash(CONFIG, *cases[0])


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
