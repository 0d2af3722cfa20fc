"""Judges that a policy was trained on, and the reward model, on reworded answers."""

from pathlib import Path

import pytest

from flows.cycle.cycle import Cycle
from flows.guard.promotion import look_before_promotion
from flows.guard.reworded_verdicts import (
    judge_reworded,
    score_reworded,
    trained_on_panelists,
    verdicts_on,
)
from flows.guard.rewording import (
    compared_answers,
    reordered_answers,
    reworded_answers,
)
from flows.reports.guard_data import rewording_figures
from judges.panel.panel import ranking_tasks
from rlhf_core.config import Config
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Candidate, RewordedVerdict
from rlhf_core.store import Store
from tests.facts import candidate, evaluation, prompt
from tests.flows.hacks import MAGIC

PROMPTS = [prompt(f"What is number {number}?") for number in range(12)]
Side = dict[str, list[Candidate]]


def side(model_id: str, *texts: str) -> Side:
    """Return the same answers to every prompt."""
    return {
        asked.id: [
            candidate(f"{text} {place}", index, prompt_id=asked.id, model_id=model_id)
            for index, text in enumerate(texts)
        ]
        for place, asked in enumerate(PROMPTS)
    }


def config(tmp_path: Path, judge: str, **changes: object) -> Config:
    kind = "pairwise_function" if judge == "confused" else "function"
    return Config.model_validate(
        {
            "store": tmp_path / "solon.duckdb",
            "prompts": {"path": "p.jsonl"},
            "judges": [{"kind": kind, "name": judge, "function": f"tests.flows.hacks:{judge}"}],
            "evaluation": {"judges": [{"kind": "verifier"}]},
            "guard": changes,
        }
    )


def judged(made: Config, policy: Side, baseline: Side) -> list[RewordedVerdict]:
    """Return the verdicts of the config's judge on both sides, whose originals it has judged."""
    cycle = Cycle(config=made, number=1, run_id="r")
    store = cycle.open_store()
    compared = compared_answers(PROMPTS, policy, baseline, 64)
    (panelist,) = trained_on_panelists(made)
    tasks = [t for asked, *two in compared for t in ranking_tasks(panelist, asked, two)]
    store.append([*PROMPTS, *(answer for _, *two in compared for answer in two)])
    store.append(panelist.judge(tasks, "r"))
    versions = judge_reworded(cycle, store, "policy", compared, policy, baseline)
    before = store.counts()
    judge_reworded(cycle, store, "policy", compared, policy, baseline)
    assert store.counts() == before, "known verdicts are not asked for again"
    return verdicts_on(store, "policy", [policy, baseline], versions)


def test_a_judge_of_contractions_turns_by_them_alone(tmp_path: Path):
    """The policy scores 1 and the baseline 0; without its contraction they tie at 0."""
    policy, baseline = side("policy", "I don't know"), side("sft", "I do not know")
    rows = judged(config(tmp_path, "contracted"), policy, baseline)
    spelled = [row for row in rows if row.rewording == "whole_words"]
    assert {row.side for row in spelled} == {"policy"}
    for row in spelled:
        assert (row.score_before, row.score_after, row.opponent_score) == (1.0, 0.0, 0.0)
        assert row.turned == 0.5
    (contracted,) = {
        (row.side, row.score_before, row.score_after, row.opponent_score, row.turned)
        for row in rows
        if row.rewording == "contractions"
    }
    assert contracted == ("baseline", 0.0, 1.0, 1.0, 0.5)
    closed = [row for row in rows if row.rewording == "closing"]
    assert len(closed) == 2 * len(PROMPTS)
    assert {row.turned for row in closed} == {0.0}


def test_the_page_shows_how_far_verdicts_turned(tmp_path: Path):
    policy, baseline = side("policy", "I don't know"), side("sft", "I do not know")
    made = config(tmp_path, "contracted")
    judged(made, policy, baseline)
    found = rewording_figures(Store(made.store), "policy", "sft")
    rows = {
        row["rewording"]: (
            *(row["policy_verdicts"], row["policy_turned"]),
            *(row["baseline_verdicts"], row["baseline_turned"]),
        )
        for row in found["rewordings"]
    }
    assert rows == {
        "whole_words": (12, 0.5, 0, None),
        "contractions": (0, None, 12, 0.5),
        "closing": (12, 0.0, 12, 0.0),
    }
    assert "?" not in found["rewordings_sql"]


@pytest.mark.parametrize(("win_rate", "alarms"), [(0.4, ["flips_contracted"]), (0.7, [])])
def test_it_raises_an_alarm_unless_the_policy_is_better(
    tmp_path: Path, win_rate: float, alarms: list[str]
):
    """All twelve turn on one side: p = 2 / 2¹², below the test's share of 5 %."""
    policy, baseline = side("policy", "I don't know"), side("sft", "I do not know")
    made = config(tmp_path, "contracted")
    rows = judged(made, policy, baseline)
    deciding = evaluation("policy", "sft", win_rate=win_rate)
    look = look_before_promotion(made, PROMPTS, policy, baseline, [deciding], [], {}, rows)
    found = [alarm for alarm in look.alarms if alarm.detector.startswith("flips")]
    assert [alarm.detector for alarm in found] == alarms
    for alarm in found:
        assert alarm.value == pytest.approx(2 / 2**12)
        assert alarm.value < alarm.threshold < 0.05 / 10
        assert "turn 50% of the verdicts of 'contracted' on 12 prompts" in alarm.reason
        assert len(alarm.evidence) == 8
        assert set(alarm.evidence) <= {group[0].id for group in policy.values()}


def test_a_prompt_with_an_unread_verdict_shows_nothing(tmp_path: Path):
    """The judge could not read six of the baseline's: six prompts are left, and p = 2 / 2⁶."""
    policy, baseline = side("policy", "I don't know"), side("sft", "I do not know")
    made = config(tmp_path, "contracted")
    spelled = [row for row in judged(made, policy, baseline) if row.rewording == "whole_words"]
    unread = [row.model_copy(update={"side": "baseline", "turned": None}) for row in spelled[:6]]
    deciding = evaluation("policy", "sft", win_rate=0.4)

    def alarms(rows: list[RewordedVerdict]) -> list[str]:
        look = look_before_promotion(made, PROMPTS, policy, baseline, [deciding], [], {}, rows)
        return [a.detector for a in look.alarms if a.detector.startswith("flips")]

    assert alarms(spelled) == ["flips_contracted"]
    assert alarms([*spelled, *unread]) == []


def test_answers_that_confuse_the_judge_turn_by_their_order(tmp_path: Path):
    """Beside the magic phrase the first answer wins; of two baseline answers the longer one."""
    policy = side("policy", MAGIC, f"{MAGIC} it is")
    baseline = side("sft", "It is here", "It was not there")
    rows = judged(config(tmp_path, "confused"), policy, baseline)
    found = {
        (row.side, row.score_before, row.score_after, row.opponent_score, row.turned)
        for row in rows
        if row.rewording == "order"
    }
    assert found == {("policy", 1.0, 0.0, None, 1.0), ("baseline", 1.0, 1.0, None, 0.0)}
    padded = {(row.score_before, row.turned) for row in rows if row.rewording == "closing"}
    assert padded == {(0.5, 0.0)}, "first in both orders: a tie, and still one"


def test_the_reward_model_scores_both_texts(store: Store, trunk: Trunk, tmp_path: Path):
    """Its scores of equal texts are equal, whichever rewording they belong to."""
    trunk.add_role(Role.REWARD, seed=1)
    made = config(tmp_path, "contracted")
    chat = policy_chat(trunk.tokenizer, made.policy)
    policy, baseline = side("policy", "**I** don't know"), side("sft", "I do not know")
    compared = compared_answers(PROMPTS, policy, baseline, 3)
    score_reworded(made, store, "policy", "reward", trunk, chat, compared)
    rows = store.rows(RewordedVerdict)
    assert len(rows) == len(reworded_answers(compared)) == 3 * 5
    for asked, *_ in compared:
        own = [row for row in rows if row.prompt_id == asked.id]
        ours = {row.score_before for row in own if row.side == "policy"}
        assert ours == {row.opponent_score for row in own if row.side == "baseline"}
        assert len(ours) == 1
        for row in own:
            assert row.score_after != row.score_before
            assert row.turned in (0.0, 0.5, 1.0)


def test_equal_and_empty_answers_are_not_compared():
    same = side("sft", "It is")
    assert compared_answers(PROMPTS, side("policy", "It is"), same, 64) == []
    empty = {key: [group[0].model_copy(update={"text": " "})] for key, group in same.items()}
    assert compared_answers(PROMPTS, empty, same, 64) == []
    later = compared_answers(PROMPTS, side("policy", "It is", "A"), side("sft", "It is", "B"), 5)
    assert [(ours.sample_index, theirs.sample_index) for _, ours, theirs in later] == [(1, 1)] * 5
    assert reordered_answers(later, side("policy", "It is"), same) == []


def test_only_free_judges_see_them_unless_all_shall(tmp_path: Path):
    """A local model is asked a question a judgement; a judge without weight taught nothing."""
    made = config(tmp_path, "contracted")
    model = {"kind": "direct", "model": "tiny-random"}
    judges = [*(each.model_dump() for each in made.judges), model, {"kind": "brevity", "weight": 0}]
    every = {**made.model_dump(mode="json"), "judges": judges}
    named = Config.model_validate(every)
    assert [each.settings.name for each in trained_on_panelists(named)] == ["contracted"]
    asked = Config.model_validate({**every, "guard": {"reworded_judges": "all"}})
    names = [each.settings.name for each in trained_on_panelists(asked)]
    assert names == ["contracted", "direct"]
