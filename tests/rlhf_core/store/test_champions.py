"""The champion of a line, by hand and against a stack that does what the rollbacks say."""

import random

import pytest

from rlhf_core.errors import IdError, StoreError
from rlhf_core.records import (
    ConfigVersion,
    EvaluationResult,
    ModelKind,
    ModelVersion,
    Promotion,
    Prompt,
    Record,
    Rollback,
)
from rlhf_core.store import Store
from rlhf_core.store.champions import (
    Promoted,
    add_rollback,
    champion,
    plan_rollback,
    rollbacks_during,
    standing,
    withdrawal_of,
)
from rlhf_core.store.line_queries import decided_on, holdout_wear
from tests import facts
from tests.facts import prompt

SFT = ModelVersion(kind=ModelKind.SFT, base="tiny", recipe="{}", config_hash="hash")


def policy(name: str, parent: str = SFT.id) -> ModelVersion:
    return ModelVersion(
        kind=ModelKind.POLICY, base="tiny", recipe=name, parent_id=parent, config_hash="hash"
    )


POLICIES = [policy(f"policy {number}") for number in range(8)]
IDS = [each.id for each in POLICIES]


def decision(cycle: int, promoted: bool = True, line: str = "main") -> Promotion:
    return Promotion(
        line=line,
        config_hash="hash",
        cycle=cycle,
        policy_id=IDS[cycle],
        baseline_id=SFT.id,
        evaluation_id=f"evaluation {cycle}",
        promoted=promoted,
        reasons=("wins 60.0%",),
        error_rate=0.05 / (cycle * (cycle + 1)) if cycle else None,
    )


def compared(cycle: int, asked: Prompt) -> EvaluationResult:
    """A win of the policy of a cycle on a prompt."""
    return EvaluationResult(
        evaluation_id=f"evaluation {cycle}",
        prompt_id=asked.id,
        sample=0,
        policy_candidate_id="ours",
        baseline_candidate_id="theirs",
        margin=1.0,
    )


def rolled_back(store: Store, to: str | None = None) -> Rollback:
    rollback = plan_rollback(store, "main", to, "ada", "rude")
    add_rollback(store, rollback)
    return rollback


@pytest.fixture
def line(store: Store) -> Store:
    """Cycles 1, 2 and 4 were promoted, cycle 3 refused; another line promoted cycle 5."""
    decided: list[Record] = [decision(1), decision(2), decision(3, promoted=False), decision(4)]
    store.append([SFT, *POLICIES, *decided, decision(5, line="other")])
    return store


def ids(store: Store, before: int = 99) -> list[str]:
    return [each.policy_id for each in standing(store, "main", before)]


def test_without_a_rollback_the_champion_is_the_policy_promoted_last(line: Store):
    assert champion(line, "main") == Promoted(IDS[4], 4)
    assert champion(line, "main", before=4) == Promoted(IDS[2], 2)
    assert champion(line, "main", before=1) is None
    assert champion(line, "main", ancestor_id=SFT.id) == Promoted(IDS[4], 4)
    assert champion(line, "main", ancestor_id="sft-other") is None


def test_a_rollback_returns_to_the_champion_before(line: Store):
    rollback = rolled_back(line)
    assert (rollback.from_id, rollback.to_id, rollback.to_cycle) == (IDS[4], IDS[2], 2)
    assert rollback.after_cycle == 4
    assert champion(line, "main") == Promoted(IDS[2], 2)
    # Cycle 5 is open and starts from it; cycle 4 started from the same and is not rewritten.
    assert rollbacks_during(line, "main", 5) == [rollback]
    assert rollbacks_during(line, "main", 4) == []
    assert champion(line, "main", before=5) == Promoted(IDS[2], 2)


def test_what_the_champion_was_before_a_cycle_stays_readable(line: Store):
    """The rollback came after cycle 4, so it changes nothing about cycles 1 to 4."""
    before = [champion(line, "main", cycle) for cycle in range(1, 5)]
    rolled_back(line, IDS[1])
    assert [champion(line, "main", cycle) for cycle in range(1, 5)] == before


def test_rollbacks_go_back_one_by_one_to_the_sft_model(line: Store):
    """A policy that was withdrawn is not the one before; a second rollback passes it."""
    assert [rolled_back(line).to_id for _ in range(3)] == [IDS[2], IDS[1], SFT.id]
    assert champion(line, "main") is None
    with pytest.raises(IdError, match=r"is the SFT model already"):
        plan_rollback(line, "main", None, "ada", "rude")


def test_a_rollback_can_be_undone_and_does_not_bring_back_what_it_passed(line: Store):
    rolled_back(line, IDS[1])
    assert ids(line) == [IDS[1]]
    rolled_back(line, IDS[4])
    assert ids(line) == [IDS[1], IDS[4]]  # 2 stays withdrawn
    assert rolled_back(line).to_id == IDS[1]


def test_a_policy_that_was_withdrawn_is_known_until_it_stands_again(line: Store):
    """The same training may come to it again, and must not promote it silently."""
    rollback = rolled_back(line, IDS[1])
    assert withdrawal_of(line, "main", IDS[4]) == rollback
    assert withdrawal_of(line, "main", IDS[1]) is None
    assert withdrawal_of(line, "main", IDS[3]) is None  # refused, never the champion
    rolled_back(line, IDS[4])
    assert withdrawal_of(line, "main", IDS[4]) is None
    assert withdrawal_of(line, "main", IDS[2]) == rollback


def test_a_later_promotion_stands_on_what_was_rolled_back_to(line: Store):
    rolled_back(line)
    line.append([decision(5), decision(6)])
    assert ids(line) == [IDS[1], IDS[2], IDS[5], IDS[6]]
    rolled_back(line, IDS[5])
    assert ids(line) == [IDS[1], IDS[2], IDS[5]]


@pytest.mark.parametrize(
    ("to", "message"),
    [
        (IDS[3], "no id begins with"),  # refused
        (IDS[5], "no id begins with"),  # another line's
        ("policy-", "begins several ids"),
        (IDS[4], "is the champion of line main already"),
    ],
)
def test_only_a_promoted_policy_of_the_line_can_be_returned_to(line: Store, to: str, message: str):
    with pytest.raises(IdError, match=message):
        plan_rollback(line, "main", to, "ada", "rude")


def test_a_line_without_a_promotion_cannot_be_rolled_back(store: Store):
    with pytest.raises(IdError, match="promoted no policy"):
        plan_rollback(store, "main", None, "ada", "rude")


def test_of_two_rollbacks_at_once_the_first_is_stored(line: Store):
    one, two = (plan_rollback(line, "main", to, "ada", "rude") for to in (IDS[1], IDS[2]))
    add_rollback(line, one)
    with pytest.raises(StoreError, match="was not added now"):
        add_rollback(line, two)
    assert champion(line, "main") == Promoted(IDS[1], 1)


def test_any_history_is_that_of_a_stack(store: Store):
    """A promotion is put on the stack; a rollback takes off all above its aim, or puts it on."""
    draw = random.Random(1)
    store.append([SFT, *POLICIES])
    stack: list[str] = []
    former: dict[int, str | None] = {}
    for cycle in range(1, 8):
        former[cycle] = stack[-1] if stack else None
        store.append([decision(cycle, promoted := draw.random() < 0.8)])
        stack += [IDS[cycle]] * promoted
        if draw.random() < 0.7 and former[cycle]:
            known = [row["policy_id"] for row in store.query("FROM promotions WHERE promoted")]
            aims = [each for each in (*known, SFT.id) if each not in stack[-1:]]
            aim = rolled_back(store, draw.choice(aims)).to_id
            stack = [each for each in stack if IDS.index(each) < place(aim)]
            stack += [aim] * (aim != SFT.id)
        assert ids(store) == stack
    found = {cycle: champion(store, "main", cycle) for cycle in former}
    assert {cycle: each.policy_id if each else None for cycle, each in found.items()} == former
    rows = store.query("SELECT policy_id FROM standing_promotions ORDER BY cycle")
    assert [row["policy_id"] for row in rows] == stack
    assert len(store.query("FROM rollbacks")) >= 3


def place(model_id: str) -> int:
    return IDS.index(model_id) if model_id in IDS else 0


def test_views_name_the_champion_and_who_changed_it(line: Store):
    evaluation = facts.evaluation(
        IDS[2],
        SFT.id,
        judge="exact",
        judge_version="exact-1",
        prompts=40,
        comparisons=80,
        win_rate=0.7,
        win_rate_low=0.6,
        win_rate_high=0.8,
    )
    line.append([evaluation, decision(5, promoted=False)])
    rollback = rolled_back(line)
    (row,) = line.query("SELECT * FROM live_models WHERE line = 'main'")
    (at,) = line.query("SELECT created_at FROM rollbacks")
    assert (row["model_id"], row["cycle"], row["refused_since"]) == (IDS[2], 2, 0)
    assert row["live_since"] == at["created_at"]
    rows = line.query(
        "SELECT * FROM champion_changes WHERE line = 'main' ORDER BY after_cycle, number"
    )
    told = [(row["change"], row["to_id"], row["decided_by"], row["reason"]) for row in rows]
    assert told == [
        ("promoted", IDS[1], "solon", "wins 60.0%"),
        ("promoted", IDS[2], "solon", "wins 60.0%"),
        ("promoted", IDS[4], "solon", "wins 60.0%"),
        ("rolled back", IDS[2], "ada", "rude"),
    ]
    assert rollback.after_cycle == 5


def test_each_decision_wears_the_held_out_prompts_that_it_was_made_on(store: Store):
    """One prompt took part in both decisions, at 2.5 % and 0.83 %; one in the second."""
    old, new = prompt("Old?"), prompt("New?")
    results = [compared(1, old), compared(2, old), compared(2, new)]
    store.append([old, new, *results, decision(1), decision(2, promoted=False)])
    rows = store.query("SELECT prompt_id, decisions, error_spent FROM holdout_wear")
    found = {row["prompt_id"]: (row["decisions"], row["error_spent"]) for row in rows}
    assert found == {
        old.id: (2, pytest.approx(0.025 + 0.05 / 6)),
        new.id: (1, pytest.approx(0.05 / 6)),
    }
    assert sorted(decided_on(store.query, "main")) == sorted([old.id, new.id])
    wear = holdout_wear(store.query, "main", [old.id, new.id])
    assert (wear.prompts, wear.decisions) == (2, 2)
    assert holdout_wear(store.query, "other", [old.id]).decisions == 0


def test_a_decision_that_asks_for_no_better_policy_bounds_nothing(store: Store):
    asked = prompt("Old?")
    loose = ConfigVersion(config_hash="hash", config='{"promotion": {"win_rate_above": 0.4}}')
    store.append([asked, compared(1, asked), loose, decision(1)])
    assert holdout_wear(store.query, "main", [asked.id]).spent == 1.0
