"""Facts that a model rests on without having learnt from them, made by hand."""

import re
from pathlib import Path

import pytest

from rlhf_core.records import (
    CycleRun,
    InputRole,
    JudgeModel,
    ModelInput,
    ModelKind,
    ModelVersion,
    Outcome,
    Promotion,
    Record,
    RolloutRecord,
    RolloutVerdict,
)
from rlhf_core.store import Store, queries, reading
from rlhf_core.store.champions import Promoted, champion
from rlhf_core.store.lineage.tree import lineage_down, lineage_up, subject_of
from tests.facts import prompt
from tests.rlhf_core.store.test_lineage import (
    ASIDE,
    EVALUATION,
    FACTS,
    NEXT,
    PAIRS,
    POLICY,
    RANKING,
    REWARD,
    SFT,
    Branch,
    flat,
    models,
    retraction,
)

CHOSEN, CENTRING = prompt("Chosen?"), prompt("Centring?")
FORMER = ModelVersion(kind=ModelKind.REWARD, base="former", recipe="{}", config_hash="hash")
BEGUN = CycleRun(line="hash", cycle=2, config_hash="hash", source="", attempt="test")
PROMOTION = Promotion(
    line="hash",
    config_hash="hash",
    cycle=1,
    policy_id=POLICY.id,
    baseline_id=SFT.id,
    evaluation_id=EVALUATION.id,
    promoted=True,
    reasons=(),
)
ROLLOUT = RolloutRecord(
    model_id=POLICY.id,
    step=1,
    row=0,
    prompt_id=CHOSEN.id,
    text="So.",
    score=1.0,
    kl=0.0,
    completion_tokens=2,
    finish_reason="eos",
)
VERDICT = RolloutVerdict(
    model_id=POLICY.id,
    rollout_id=ROLLOUT.id,
    judge="length",
    judge_version="length-1",
    outcome=Outcome.SCORED,
    score=0.5,
)


def rests(model: ModelVersion, on: Record, role: InputRole) -> ModelInput:
    return ModelInput(model_id=model.id, input_table=on.table, input_id=on.id, role=role)


RESTING: list[Record] = [
    *(CHOSEN, CENTRING, FORMER, PROMOTION, BEGUN, ROLLOUT, VERDICT),
    rests(SFT, CHOSEN, InputRole.CHOSEN_ON),
    rests(REWARD, CENTRING, InputRole.NORMALISED_ON),
    rests(REWARD, FORMER, InputRole.JUDGE),
    JudgeModel(judge_version="one-1", model_id=FORMER.id),
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("resting") / "solon.duckdb", run_id="test")
    store.append([*FACTS, *RESTING])
    store.publish()
    return store.files.database


@pytest.fixture
def filled(original: Path, tmp_path: Path) -> Store:
    copied = tmp_path / "solon.duckdb"
    copied.write_bytes(original.read_bytes())
    return Store(copied, run_id="test")


def up(path: Path, wanted: str) -> tuple[Branch, ...]:
    with reading(path) as snapshot:
        return lineage_up(snapshot, subject_of(snapshot, wanted))


def down(path: Path, wanted: str) -> tuple[Branch, ...]:
    with reading(path) as snapshot:
        return lineage_down(snapshot, subject_of(snapshot, wanted))


def relations(branches: tuple[Branch, ...]) -> dict[str, tuple[str, ...]]:
    return {branch.relation: branch.ids for branch in flat(branches)}


@pytest.mark.parametrize(
    ("wanted", "resting"),
    [
        (CHOSEN.id, {SFT.id, REWARD.id, POLICY.id, NEXT.id}),
        (CENTRING.id, {REWARD.id, POLICY.id, NEXT.id}),
        (FORMER.id, {REWARD.id, POLICY.id, NEXT.id}),
        (PROMOTION.id, {NEXT.id}),
        (EVALUATION.id, {NEXT.id}),
    ],
)
def test_downwards_a_fact_leads_to_every_model_that_rests_on_it(
    original: Path, wanted: str, resting: set[str]
):
    assert models(down(original, wanted)) == resting


def test_upwards_a_policy_leads_to_what_chose_centred_judged_and_promoted(original: Path):
    found = up(original, NEXT.id)
    told = relations(found)
    assert told["weights chosen on"] == (CHOSEN.id,)
    assert told["rewards centred by"] == (CENTRING.id,)
    assert told["rewarded by the verdicts"] == (VERDICT.id,)
    assert told["continues the policy promoted in"] == (PROMOTION.id,)
    assert told["decided by"] == (EVALUATION.id,)
    assert told["judge"] == (FORMER.id,)
    assert told["parent, sampler"] == (SFT.id,)


def test_models_say_in_which_line_and_cycle_they_were_made_and_when(original: Path):
    made = {branch.ids[0]: branch.made for branch in flat(up(original, NEXT.id)) if branch.made}
    assert set(made) >= {SFT.id, POLICY.id, REWARD.id}
    assert all(re.fullmatch(r"line hash, cycle 2, \d{4}-\d\d-\d\d", told) for told in made.values())


def test_upwards_a_judge_leads_to_the_model_it_asks(original: Path):
    assert relations(up(original, "one-1")) == {"calls": (FORMER.id,)}
    assert relations(down(original, FORMER.id))["is called by"] == ("one-1",)


def test_an_evaluation_leads_to_both_models_and_to_what_it_decided(original: Path):
    told = relations(up(original, EVALUATION.id))
    assert (told["of"], told["against"]) == ((POLICY.id,), (SFT.id,))
    assert relations(down(original, EVALUATION.id)) == {
        "decided": (PROMOTION.id,),
        "continued by": (NEXT.id,),
    }


def test_the_models_behind_a_judge_are_behind_what_learnt_from_it(filled: Store):
    rows = filled.query("SELECT ancestor_id FROM model_ancestry WHERE model_id = ?", [NEXT.id])
    assert FORMER.id in {row["ancestor_id"] for row in rows}
    relation = "SELECT relation FROM model_sources WHERE model_id = ? AND source_id = ?"
    assert filled.query(relation, [REWARD.id, FORMER.id]) == [{"relation": "judge"}]


@pytest.mark.parametrize(
    ("retracted", "tainted"),
    [
        (CHOSEN.id, {SFT.id, REWARD.id, POLICY.id, NEXT.id}),
        (CENTRING.id, {REWARD.id, POLICY.id, NEXT.id}),
    ],
)
def test_a_model_that_rests_on_a_retracted_prompt_is_tainted(
    filled: Store, retracted: str, tainted: set[str]
):
    filled.append([retraction("prompts", retracted)])
    rows = filled.query("SELECT model_id FROM tainted_models")
    assert {row["model_id"] for row in rows} == tainted
    assert ASIDE.id not in tainted


def test_a_retracted_pair_taints_no_model_that_left_it_out(filled: Store):
    """The later model learnt from the rest of the ranking; the earlier one from the pair too."""
    again = ModelVersion(kind=ModelKind.REWARD, base="again", recipe="{}", config_hash="hash")
    filled.append(
        [
            again,
            rests(again, RANKING, InputRole.LEARNT),
            rests(again, PAIRS[0], InputRole.LEFT_OUT),
            retraction("pairs", PAIRS[0].id),
        ]
    )
    filled.publish()
    taught = models(down(filled.files.database, PAIRS[0].id))
    assert taught == {REWARD.id, POLICY.id, NEXT.id}
    assert again.id in models(down(filled.files.database, PAIRS[1].id))
    own = "SELECT model_id FROM tainted_inputs"
    assert {row["model_id"] for row in filled.query(own)} == {REWARD.id}
    filled.append([retraction("pairs", PAIRS[1].id)])
    assert {row["model_id"] for row in filled.query(own)} == {REWARD.id, again.id}


def test_what_a_model_rests_on_that_is_retracted_is_told_by_subject(filled: Store):
    filled.append([retraction("prompts", CHOSEN.id), retraction("judge_versions", "length-1")])
    assert queries.retracted_under(filled, SFT.id) == [("prompts", CHOSEN.id)]
    assert queries.retracted_under(filled, POLICY.id) == [("judge_versions", "length-1")]
    assert queries.retracted_under(filled, ASIDE.id) == []


def test_a_promotion_lets_on_the_models_of_its_own_line_alone(filled: Store):
    """Another line may have promoted the same policy; a refusal lets nothing on."""
    other = PROMOTION.model_copy(update={"line": "other"})
    refused = PROMOTION.model_copy(update={"cycle": 2, "promoted": False})
    filled.append([Promotion.model_validate(p.model_dump()) for p in (other, refused)])
    found = filled.query("SELECT model_id, promotion_id, cycle FROM model_promotions")
    assert found == [{"model_id": NEXT.id, "promotion_id": PROMOTION.id, "cycle": 1}]


def test_the_champion_stands_on_the_model_asked_for(filled: Store):
    promoted = Promoted(POLICY.id, 1)
    assert champion(filled, "hash", 2) == promoted
    assert champion(filled, "hash", 2, SFT.id) == promoted
    assert champion(filled, "hash", 2, ASIDE.id) is None
