"""The figures beside the win rates on a cycle's page, from rows of the store."""

from pathlib import Path

from flows.reports.evaluation_data import evaluation_details
from rlhf_core.evaluation.aspects import Flag, Grade, Unread, aspect_figures, readings_to_json
from rlhf_core.records import Candidate, Evaluation, Judgement, Outcome
from rlhf_core.store import Store
from tests.facts import candidate, prompt

PROMPTS = [prompt(f"Question {number}?") for number in range(4)]
EVALUATION = Evaluation(
    policy_id="policy",
    baseline_id="sft",
    judge="rubric",
    judge_version="rubric-1",
    role="reports",
    settings="s",
    prompts=4,
    comparisons=4,
    unscored=0,
    win_rate=0.5,
    win_rate_low=0.1,
    win_rate_high=0.9,
    policy_score=None,
    baseline_score=None,
    policy_tokens=1.0,
    baseline_tokens=1.0,
    policy_eos_rate=1.0,
    kl=0.0,
)


def answers(model_id: str) -> dict[str, list[Candidate]]:
    return {
        one.id: [candidate(f"{model_id} answers", prompt_id=one.id, model_id=model_id)]
        for one in PROMPTS
    }


def test_aspects_are_shown_in_the_order_of_the_rubric(tmp_path: Path):
    """Grades first, as the rubric has them; the unread share stands beside the mean."""
    policy, baseline = answers("policy"), answers("sft")
    readings = readings_to_json(
        {
            "quality": Grade(grade=4.0, highest=7),
            "rude": Flag(yes=0.9),
            "apt": Unread(unread="the reply names no label", is_scale=False),
        }
    )
    whole = readings_to_json({"quality": Grade(grade=3.0, highest=7), "apt": Flag(yes=0.2)})
    judgements = [
        Judgement(
            prompt_id=one.prompt_id,
            judge="rubric",
            judge_version="rubric-1",
            candidate_id=one.id,
            outcome=Outcome.UNPARSED,
            raw_output=readings if place or side is policy else whole,
        )
        for side in (policy, baseline)
        for place, group in enumerate(side.values())
        for one in group
    ]
    store = Store(tmp_path / "store.duckdb")
    rows = aspect_figures(EVALUATION.id, policy, baseline, judgements, 0.95)
    store.append([EVALUATION, *rows])
    details = evaluation_details(store, [EVALUATION], EVALUATION)
    assert [(each.name, each.is_grade, each.unread) for each in details["aspects"]] == [
        ("quality", True, (0.0, 0.0)),
        ("rude", False, (0.0, 0.0)),
    ]
    (quality, rude) = details["aspects"]
    assert (quality.before.value, quality.after.value) == (3.75, 4.0)
    assert (rude.before.n, rude.after.value, rude.judge) == (3, 1.0, "rubric")
    shown = store.query(details["aspects_sql"])
    assert [(row["metric"], row["facet"], row["value"]) for row in shown][-2:] == [
        ("unread_apt", "before", 0.75),
        ("unread_apt", "after", 1.0),
    ]
    assert details["parts"] == details["abstention"] == []
