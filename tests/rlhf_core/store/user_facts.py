"""The facts of a whole cycle behind one prompt, each text with a mark of its own in it."""

from zlib import crc32

from rlhf_core.records import (
    Failure,
    HumanVerdict,
    Judgement,
    ModelInput,
    ModelKind,
    ModelVersion,
    Outcome,
    Pair,
    PairOutcome,
    PrivacyFinding,
    Prompt,
    PromptUser,
    Ranking,
    Record,
    Revision,
    RolloutRecord,
    SpotCheck,
    Strategy,
)
from tests.facts import candidate, prompt, response


def model(kind: ModelKind, recipe: str, parent_id: str | None = None) -> ModelVersion:
    return ModelVersion(kind=kind, base="b", parent_id=parent_id, recipe=recipe, config_hash="c")


REWARD = model(ModelKind.REWARD, "learns from the rankings")
POLICY = model(ModelKind.POLICY, "learns from the reward model")
NEXT = model(ModelKind.POLICY, "goes on from that policy", POLICY.id)
BASE = model(ModelKind.SFT, "comes before them all")
MODELS = [
    *(REWARD, POLICY, NEXT, BASE),
    ModelInput(model_id=POLICY.id, input_table="models", input_id=REWARD.id),
]


def asked(user: str, mark: str) -> tuple[Prompt, PromptUser]:
    found = prompt(f"{mark}-prompt", reference_answers=(f"{mark}-reference",))
    return found, PromptUser(prompt_id=found.id, user_id=user)


def chain(of: Prompt, mark: str) -> list[Record]:
    """All that can come from a prompt; its responses are the last two."""
    answers = [candidate(f"{mark}-answer-{n}", n, prompt_id=of.id) for n in range(2)]
    said, unread = response(f"{mark}-said"), response(f"{mark}-critique-said")
    judgement = Judgement(
        prompt_id=of.id,
        judge="j",
        judge_version="j-1",
        candidate_id=answers[0].id,
        outcome=Outcome.SCORED,
        score=0.5,
        raw_output=f"{mark}-raw",
        reason=f"{mark}-rationale",
        response_ids=(said.id,),
    )
    ids = tuple(answer.id for answer in answers)
    ranking = Ranking(
        prompt_id=of.id,
        model_id="sft-test",
        seed=1,
        recipe="r",
        candidate_ids=ids,
        utilities=(1.0, 0.0),
        judgement_ids=(judgement.id,),
    )
    pair = Pair(
        prompt_id=of.id,
        ranking_id=ranking.id,
        left_id=ids[0],
        right_id=ids[1],
        outcome=PairOutcome.TIE,
        judgement_ids=(judgement.id,),
        judge_versions=("j-1",),
        config_hash="c",
    )
    revision = Revision(
        prompt_id=of.id,
        reviser="v",
        model="m",
        round=0,
        critique=f"{mark}-critique",
        text=f"{mark}-mended",
        response_ids=(unread.id,),
    )
    check = SpotCheck(
        pair_id=pair.id,
        prompt_id=of.id,
        left_id=ids[0],
        right_id=ids[1],
        person="p",
        verdict=HumanVerdict.TIE,
        note=f"{mark}-note",
        strategy=Strategy.RANDOM,
        shown_left=ids[0],
        seconds=1.0,
        round=1,
    )
    rollout = RolloutRecord(
        model_id=POLICY.id,
        step=1,
        row=crc32(mark.encode()) % 2**20,
        prompt_id=of.id,
        text=f"{mark}-rollout",
        score=0.0,
        kl=0.0,
        completion_tokens=1,
        finish_reason="eos",
    )
    failure = Failure(stage="judge", subject_id=ids[1], reason=f"{mark}-failed", attempt="a")
    finding = PrivacyFinding(
        prompt_set_id="s", source="f", kind="email", action="counted", prompt_id=of.id, spans=1
    )
    learnt = ModelInput(model_id=REWARD.id, input_table="rankings", input_id=ranking.id)
    others = (judgement, ranking, pair, revision, check, rollout, failure, finding, learnt)
    return [of, *answers, *others, said, unread]
