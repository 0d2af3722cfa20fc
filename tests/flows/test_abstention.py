"""The model learns to abstain where the base model is wrong, and the store keeps the reason."""

import json
from pathlib import Path

import pytest

from flows.cycle import versions
from flows.cycle.cycle import Cycle
from flows.run import plan_run
from flows.stages import train_sft
from flows.stages.ingest import ingest
from rlhf_core.config import Config
from rlhf_core.config.tree import RevisionSettings
from rlhf_core.errors import ConfigError
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.records import ModelInput, Prompt, Revision, Split
from rlhf_core.store import Store
from tests.flows.conftest import STARTS_VLLM, smoke
from tests.flows.test_pipeline import ids

pytestmark = pytest.mark.usefixtures("server")

JUDGE = "{kind: verifier, metric: regex, pattern: '[a-m].*[a-m]'}"
"""Two letters of the first half of the alphabet make an answer right; a random model has some."""
KNOWLEDGE = [{"prompt": f"What is thing {n}?", "reference": f"Thing {n}."} for n in range(24)]
OTHERS = [
    {"prompt": "What will be?", "reference": "Nobody knows."},
    {"prompt": "What is this?", "context": "A text.", "reference": "A text."},
    {"prompt": "Say something.", "mode": "creative", "reference": "Something.", "note": "Short."},
    {"prompt": "What has no answer here?", "mode": "knowledge_seeking"},
]


def seeding(folder: Path, *overrides: str) -> Config:
    path = folder / "prompts.jsonl"
    folder.mkdir(exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in [*KNOWLEDGE, *OTHERS]))
    abstention = f"sft.abstention={{judge: {JUDGE}, answers: 2, max_share: 0.25}}"
    return smoke(folder, f"prompts.path={path}", "prompts.holdout=0.1", abstention, *overrides)


def run(config: Config, reviser: str | None = None) -> str:
    cycle = Cycle(config=config, number=1, run_id="test")
    return train_sft.train_sft(cycle, ingest(cycle), reviser)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return the demonstrations, by the end of their prompts."""
    found: dict[str, list[str]] = {}
    chat = ChatFormat(load_tokenizer("tiny-random"), None)
    exact = train_sft.sft_steps

    def recording(trunk, sequences, *others):
        for sequence in sequences:
            asked = chat.decode(sequence.prompt_ids)
            name = next(r["prompt"] for r in [*KNOWLEDGE, *OTHERS] if r["prompt"] in asked)
            found.setdefault(name, []).append(chat.decode(sequence.response_ids))
        return exact(trunk, sequences, *others)

    monkeypatch.setattr(train_sft, "sft_steps", recording)
    return found


UNKNOWN = """
SELECT prompts.text FROM prompts
JOIN candidates ON candidates.prompt_id = prompts.id AND candidates.model_id LIKE 'base-%'
JOIN judgements ON judgements.candidate_id = candidates.id
GROUP BY prompts.text HAVING count(*) = 2 AND max(judgements.score) < 0.5"""
SEEDED = """
SELECT prompts.text AS prompt, before.text AS before, after.critique, after.text AS after
FROM model_inputs JOIN revisions AS after ON after.id = model_inputs.input_id
JOIN revisions AS before ON before.id = after.parent_id
JOIN prompts ON prompts.id = after.prompt_id
WHERE model_inputs.model_id = ? AND after.principle = 'abstention'"""


def test_the_unknown_become_abstentions_up_to_their_share(
    tmp_path: Path, shown: dict[str, list[str]]
):
    config = seeding(tmp_path)
    sft = run(config)
    store = Store(config.store)
    train = {p.text: p for p in store.rows(Prompt, "split = ?", [Split.TRAIN.value])}
    asked = {row["prompt"] for row in KNOWLEDGE} & set(train)
    answered = store.query(
        "SELECT text FROM prompts WHERE id IN (SELECT prompt_id FROM candidates)"
    )
    assert {row["text"] for row in answered} == asked
    unknown = {row["text"] for row in store.query(UNKNOWN)}
    seeded = {row["prompt"]: row for row in store.query(SEEDED, [sft])}
    demonstrated = sum(map(len, shown.values()))
    assert demonstrated == sum(bool(prompt.reference_answers) for prompt in train.values())
    assert 0 < len(seeded) == int(0.25 * demonstrated) < len(unknown) < len(asked)
    assert set(seeded) <= unknown
    for name, answers in shown.items():
        expected = seeded[name]["after"] if name in seeded else train[name].reference_answers[0]
        assert answers == [expected]
    for row in seeded.values():
        assert row["after"] in config.sft.abstention.wordings
        assert "finds none of 2 answers right: 0.000 at best, and right is 0.5" in row["critique"]
        first = store.query(
            "SELECT candidates.text FROM candidates JOIN prompts ON prompts.id = prompt_id "
            "WHERE prompts.text = ? AND sample_index = 0",
            [row["prompt"]],
        )
        assert first == [{"text": row["before"]}]
    (detail,) = store.query("SELECT detail FROM stage_runs WHERE stage = 'train_sft'")
    assert json.loads(detail["detail"])["abstentions"] == len(seeded)


@pytest.mark.slow
@pytest.mark.usefixtures("vllm_here")
def test_an_engine_that_samples_alike_finds_the_same_unknown(tmp_path: Path):
    """Its answers are those of this process, and so are the weights that are taught by them."""
    shared = ("name=one", "compute.precision=fp32", "sampling.max_new_tokens=4")
    texts, weights = [], []
    for folder, engine in (("local", ()), ("remote", (STARTS_VLLM,))):
        config = seeding(tmp_path / folder, *shared, *engine)
        sft = run(config)
        store = Store(config.store)
        sql = "SELECT prompt_id, sample_index, token_ids FROM candidates ORDER BY ALL"
        texts.append((store.query(sql), store.query("SELECT text FROM revisions ORDER BY ALL")))
        weights.append((config.artifacts / "models" / sft / "model.safetensors").read_bytes())
        (batch,) = store.query("SELECT DISTINCT sampling FROM candidates")
        engine_settings = config.sampling.engine.of_base
        as_sampled = config.sampling.model_copy(update={"engine": engine_settings})
        cycle = Cycle(config=config, number=1, run_id="test")
        assert batch["sampling"] == cycle.batch("base", as_sampled, "abstention").sampling
    assert texts[0] == texts[1]
    assert texts[0][0]
    assert texts[0][1]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_an_interrupted_run_teaches_the_same_after_a_rerun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Interrupted after the answers, after the verdicts, and during the training."""
    whole, killed = seeding(tmp_path / "whole"), seeding(tmp_path / "killed")
    sft = run(whole)
    before = ids(whole)
    assert run(whole) == sft
    assert ids(whole) == before
    for place in (
        "cycle.abstention.judge_missing",
        "cycle.abstention.choose_abstentions",
        "stages.train_sft.keep_metrics",
    ):

        def cut_off(*arguments: object) -> None:
            raise RuntimeError("cut off")

        with monkeypatch.context() as patch:
            patch.setattr(f"flows.{place}", cut_off)
            with pytest.raises(RuntimeError, match="cut off"):
                run(killed)
    assert run(killed) != sft  # its prompts lie elsewhere, and that is part of the recipe
    sql = "SELECT prompt_id, round, text, critique FROM revisions ORDER BY ALL"
    for query in (sql, "SELECT id, text FROM candidates ORDER BY ALL"):
        assert Store(killed.store).query(query) == Store(whole.store).query(query)
    assert len(ids(killed)["judgements"]) == len(before["judgements"])
    trained = [next(c.artifacts.glob("models/sft-*/model.safetensors")) for c in (whole, killed)]
    assert trained[0].read_bytes() == trained[1].read_bytes()


def test_the_revision_of_an_unknown_answer_is_not_shown_either(
    tmp_path: Path, shown: dict[str, list[str]]
):
    revision = RevisionSettings(model="tiny-random", rounds=1)
    config = seeding(tmp_path).model_copy(update={"revision": revision})
    cycle = Cycle(config=config, number=1, run_id="test")
    ingest(cycle)
    store = Store(config.store)
    store.append(
        Revision(prompt_id=p.id, reviser="mender", model="m", round=1, text="A mended answer.")
        for p in store.rows(Prompt)
    )
    sft = run(config, "mender")
    seeded = {row["prompt"]: row["after"] for row in store.query(SEEDED, [sft])}
    for name, answers in shown.items():
        assert answers == [seeded[name]] if name in seeded else answers[-1] == "A mended answer."
    learnt = {row.input_id for row in store.rows(ModelInput, "input_table = 'revisions'")}
    verdicts = store.query(
        "SELECT DISTINCT text FROM model_judgements "
        "JOIN judgements ON judgements.id = judgement_id "
        "JOIN prompts ON prompts.id = prompt_id WHERE model_id = ? AND through = 'judgements'",
        [sft],
    )
    assert {row["text"] for row in verdicts} == set(seeded)
    mended = [row for row in store.rows(Revision, "reviser = 'mender'") if row.id in learnt]
    assert len(seeded) + len(mended) == len(learnt) == len(shown)
    assert len(seeded) <= 0.25 * sum(map(len, shown.values()))


def test_the_plan_counts_the_answers_and_their_judgements(tmp_path: Path):
    config = seeding(tmp_path)
    counts = {row.what: row.count for row in plan_run(config).rows if row.stage == "train_sft"}
    run(config)
    store = Store(config.store)
    assert counts["answers that show what is known"] == store.counts()["candidates"]
    assert counts["judgements by verifier"] == store.counts()["judgements"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "sft.abstention.judge={kind: pairwise, model: tiny-random}",
            r"^sft\.abstention\.judge: 'pairwise' compares two answers",
        ),
        ("sft.abstention.judge={kind: oracle}", "no judge 'oracle'; available:"),
        ("prompts.columns.reference=note", r"^sft\.abstention: no knowledge-seeking prompt"),
    ],
)
def test_the_plan_refuses_a_config_that_cannot_be_seeded(
    tmp_path: Path, override: str, message: str
):
    with pytest.raises(ConfigError, match=message) as caught:
        plan_run(seeding(tmp_path, override))
    assert "\n" not in str(caught.value)


def test_another_threshold_is_another_model(tmp_path: Path):
    def version(*overrides: str) -> str:
        config = seeding(tmp_path, *overrides)
        seeder = train_sft.build_seeder(config)
        return versions.sft(config, None, seeder.name if seeder else None).id

    assert version() == version()
    assert version("sft.abstention.threshold=0.6") != version()
    assert version("sampling.max_new_tokens=9") != version()
    assert version("sft.abstention=null") != version()
