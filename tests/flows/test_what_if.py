"""`solon what-if` on a small store with results derived by hand."""

import json
from math import tanh
from pathlib import Path

import pytest

from flows.audit.panel_changes import PanelChanges, apply_changes, combination_of, panel_of
from flows.audit.what_if import what_if
from flows.cycle.identity import config_hash
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from rlhf_core.preferences.ranking import rankings_and_pairs
from rlhf_core.records import (
    ConfigVersion,
    Judgement,
    Mode,
    Outcome,
    Pair,
    PairOutcome,
    Presented,
    Prompt,
)
from rlhf_core.store import Store, reading
from tests.facts import candidate, prompt
from tests.flows.test_cli import call

FACTUAL = prompt("When?")
CREATIVE = prompt("A poem!", mode=Mode.CREATIVE)
WORDS = ("one", "two", "three")
ANSWERS = {
    question.id: [
        candidate(f"{question.text} {w}", n, prompt_id=question.id) for n, w in enumerate(WORDS)
    ]
    for question in (FACTUAL, CREATIVE)
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """`short` decides twice as much as `exact`; `watcher` is recorded and decides nothing."""
    return Config.model_validate(
        {
            "store": str(tmp_path_factory.mktemp("store") / "solon.duckdb"),
            "prompts": {"path": "none.jsonl"},
            "judges": [
                {"kind": "brevity", "name": "short", "weight": 2},
                {"kind": "verifier", "name": "exact", "metric": "token_f1"},
                {"kind": "similarity", "name": "watcher", "weight": 0},
            ],
            "evaluation": {"judges": [{"kind": "verifier", "metric": "exact"}]},
        }
    )


def scored(question: Prompt, judge: str, version: str, *scores: float | None) -> list[Judgement]:
    return [
        Judgement(
            prompt_id=question.id,
            judge=judge,
            judge_version=version,
            candidate_id=answer.id,
            outcome=Outcome.SCORED,
            score=score,
            cost_usd=0.5,
            latency_seconds=2.0,
        )
        for answer, score in zip(ANSWERS[question.id], scores, strict=True)
        if score is not None
    ]


def unavailable(question: Prompt, judge: str, version: str) -> Judgement:
    """A request that was never answered, and is still missing."""
    return Judgement(
        prompt_id=question.id,
        judge=judge,
        judge_version=version,
        candidate_id=ANSWERS[question.id][0].id,
        outcome=Outcome.UNAVAILABLE,
        attempt="run",
    )


def contests(judge: str, version: str) -> list[Judgement]:
    """All six orders of the factual prompt's answers; each later answer beats those before it."""
    return [
        Judgement(
            prompt_id=FACTUAL.id,
            judge=judge,
            judge_version=version,
            candidate_id=one.id,
            opponent_id=other.id,
            presented=Presented.FORWARD if first < second else Presented.REVERSED,
            outcome=Outcome.FIRST if first > second else Outcome.SECOND,
            probability=0.9 if first > second else 0.1,
        )
        for first, one in enumerate(ANSWERS[FACTUAL.id])
        for second, other in enumerate(ANSWERS[FACTUAL.id])
        if first != second
    ]


@pytest.fixture(scope="module")
def filled(config: Config) -> Store:
    """The store as the stages leave it; no test writes to it.

    Factual: `short` says σ(4) or σ(8) for the earlier answer and counts twice, `exact` σ(−2) or
    σ(−4). Creative: `short` alone, 0.6, 0.6, 0.1.
    """
    versions = {seat.judge: seat.version for seat in panel_of(config)}
    judgements = [
        *scored(FACTUAL, "short", versions["short"], 1.0, 0.6, 0.2),
        *scored(FACTUAL, "exact", versions["exact"], 0.1, 0.3, 0.5),
        *scored(CREATIVE, "short", versions["short"], 0.6, 0.6, 0.1),
        *scored(FACTUAL, "watcher", versions["watcher"], 0.2, 0.4, None),
        unavailable(CREATIVE, "exact", versions["exact"]),
        *contests("duel", "duel-1"),
        *scored(FACTUAL, "old", "old-1", 0.1, 0.2, 0.3),
        *scored(FACTUAL, "old", "old-2", 0.3, 0.2, 0.1),
    ]
    combination = combination_of(panel_of(config), config)
    rankings, pairs = rankings_and_pairs(
        ANSWERS.values(), judgements, combination, config_hash(config)
    )
    answers = [answer for group in ANSWERS.values() for answer in group]
    run = ConfigVersion(config_hash=config_hash(config), config="{}")
    store = Store(config.store)
    store.append([run, FACTUAL, CREATIVE, *answers, *judgements, *rankings, *pairs])
    return store


def test_without_the_judge_that_outvoted_it_the_other_flips_its_pairs(filled, config: Config):
    """`exact` alone reverses the three factual pairs; it has no judgements of the creative ones.

    Of those only one pair is preferred before: `exact` did not answer about the first poem.
    """
    found = what_if(config, PanelChanges(drops=["short"]), examples=2)
    assert (found.overall.preferred_before, found.overall.preferred_after) == (4, 3)
    assert (found.overall.flipped, found.overall.became_unscored) == (3, 1)
    assert (found.overall.changed, found.overall.became_tie, found.overall.appeared) == (4, 0, 0)
    assert found.by_mode["knowledge_seeking"].flipped == 3
    assert found.by_mode["creative"].became_unscored == 1
    assert found.by_split["train"] == found.overall
    # 2 σ(x) − 1 = tanh(x / 2): neighbours at 2 and 1, best and worst at 4 and 2.
    neighbours, ends = (2 * tanh(2) - tanh(1)) / 3, (2 * tanh(4) - tanh(2)) / 3
    factual = found.by_mode["knowledge_seeking"]
    assert factual.mean_margin_before == pytest.approx((2 * neighbours + ends) / 3)
    assert factual.mean_margin_after == pytest.approx((2 * tanh(1) + tanh(2)) / 3)
    assert found.overall.agreement is not None
    assert found.overall.agreement.value == 0.0
    surest = found.examples[0]
    assert (surest["chosen_before"], surest["chosen_after"]) == ("When? one", "When? three")
    assert len(found.examples) == 2


def test_what_a_judge_that_leaves_has_cost_and_what_is_missing_of_those_that_stay(filled, config):
    found = what_if(config, PanelChanges(drops=["short"]))
    (saving,) = found.savings
    assert (saving.judge, saving.judgements) == ("short", 6)
    assert (saving.cost_usd, saving.seconds) == (3.0, 12.0)
    (gap,) = found.gaps
    assert (gap.judge, gap.wanted, gap.missing, gap.candidates_never_judged) == ("exact", 6, 3, 3)
    assert (gap.cost_usd, gap.seconds) == (pytest.approx(1.5), pytest.approx(6.0))


def test_a_judge_is_not_missed_on_prompts_that_are_not_for_it(filled, config: Config):
    short, exact, watcher = config.judges
    exact = exact.model_copy(update={"modes": (Mode.KNOWLEDGE_SEEKING,)})
    limited = config.model_copy(update={"judges": (short, exact, watcher)})
    (gap,) = what_if(limited, PanelChanges(drops=["short"])).gaps
    assert (gap.wanted, gap.missing, gap.candidates_never_judged) == (3, 0, 0)


def test_weights_are_counted_anew(filled, config: Config):
    """(tanh 2 − 4 tanh 1) / 5 and (tanh 4 − 4 tanh 2) / 5 are below 0; the creative ones stay."""
    found = what_if(config, PanelChanges(weights=["short=0.5", "exact=2"]))
    assert (found.overall.flipped, found.overall.changed) == (3, 3)
    assert found.overall.preferred_after == 4
    assert found.savings == []


def test_a_judge_that_was_only_recorded_joins_the_panel_and_nothing_is_guessed(filled, config):
    """`watcher` never judged the third answer, nor the poem: those pairs are `exact`'s or none."""
    found = what_if(config, PanelChanges(swaps=["short=watcher"]))
    assert [(seat.judge, seat.weight) for seat in found.changed_panel] == [
        ("watcher", 2.0),
        ("exact", 1.0),
    ]
    gaps = {gap.judge: gap for gap in found.gaps}
    assert (gaps["watcher"].missing, gaps["watcher"].candidates_never_judged) == (4, 4)
    assert gaps["watcher"].cost_usd == pytest.approx(2.0)
    assert found.by_mode["creative"].preferred_after == 0


def test_a_judge_of_the_store_that_the_config_does_not_name_can_be_swapped_in(filled, config):
    """`duel` prefers later answers: 3 > 2 > 1 where the panel prefers 1 > 2 > 3."""
    found = what_if(config, PanelChanges(swaps=["short=duel"], drops=["exact"]))
    assert found.by_mode["knowledge_seeking"].flipped == 3
    (gap,) = found.gaps
    assert (gap.wanted, gap.missing, gap.candidates_never_judged) == (12, 6, 3)
    assert (gap.cost_usd, gap.seconds) == (0.0, None)  # it keeps no time
    assert {saving.judge for saving in found.savings} == {"short", "exact"}


def test_pages_make_no_difference(filled, config: Config):
    changes = PanelChanges(drops=["short"])
    whole, paged = what_if(config, changes, 3), what_if(config, changes, 3, page_size=1)
    assert (whole.overall, whole.gaps, whole.examples) == (
        paged.overall,
        paged.gaps,
        paged.examples,
    )


def test_the_panel_as_it_is_makes_the_pairs_of_the_store(filled, config: Config):
    """A change that changes nothing finds nothing: what is compared is what was paired."""
    found = what_if(config, PanelChanges(weights=["short=2"]))
    assert found.overall.changed == 0
    assert found.overall.pairs == len(filled.rows(Pair)) == 6
    preferred = [pair for pair in filled.rows(Pair) if pair.outcome is PairOutcome.PREFERRED]
    assert found.overall.preferred_before == len(preferred) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (PanelChanges(), "name a change: --swap A=B"),
        (PanelChanges(drops=["nobody"]), "no judge 'nobody' on the panel; it has short, exact"),
        (PanelChanges(drops=["short", "exact"]), "no judge with a weight above 0 would be left"),
        (PanelChanges(weights=["short"]), "--weight short: write --weight JUDGE=0.5"),
        (PanelChanges(weights=["nobody=1"]), "no judge 'nobody' on the panel"),
        (PanelChanges(weights=["short=-1"]), "'-1' is no weight"),
        (PanelChanges(weights=["short=nan"]), "'nan' is no weight"),
        (PanelChanges(swaps=["short=nobody"]), "it has those of duel, exact, old, short, watcher"),
        (PanelChanges(swaps=["short=old"]), "'old' judged in several versions; name one: old-1"),
        (PanelChanges(swaps=["short=exact"], drops=["short"]), "no judge 'short' on the panel"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(filled, config, changes, message: str):
    with pytest.raises(ConfigError, match=message):
        what_if(config, changes)


def test_two_judges_can_change_places(filled, config: Config):
    with reading(filled.files.database) as snapshot:
        panel = apply_changes(
            panel_of(config), PanelChanges(["short=exact", "exact=short"]), snapshot
        )
    assert [(seat.judge, seat.weight) for seat in panel[:2]] == [("exact", 2.0), ("short", 1.0)]


def test_a_panel_that_ranked_nothing_yet_says_so(store: Store, config: Config):
    config = config.model_copy(update={"store": store.files.database})
    with pytest.raises(ConfigError, match="no ranking by this config's panel"):
        what_if(config, PanelChanges(drops=["short"]))


@pytest.fixture
def written(config: Config, tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(config.model_dump_json())
    return str(path)


def test_the_command_prints_writes_the_pairs_and_leaves_the_store_alone(
    filled, monkeypatch, capsys, tmp_path: Path, written: str
):
    before = filled.counts()
    lines = tmp_path / "changed.jsonl"
    options = ("--drop", "short", "--out", str(lines))
    assert call(monkeypatch, "what-if", written, *options, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["overall"]["flipped"], found["examples"]) == (3, [])
    changes = [json.loads(line)["change"] for line in lines.read_text().splitlines()]
    assert sorted(changes) == ["became_unscored"] + ["flipped"] * 3
    assert call(monkeypatch, "what-if", written, "--drop", "short", "--examples", "1") == 0
    printed = capsys.readouterr().out
    assert "4 → 3" in printed
    assert "When? three" in printed
    assert "missing of exact: 3 of 6 judgements, 3 candidates it never judged" in printed
    assert "short has cost 3.0000 US dollars and 12 s for 6 judgements so far" in printed
    assert filled.counts() == before


def test_a_refused_change_leaves_no_file(filled, monkeypatch, capsys, tmp_path, written: str):
    names = sorted(path.name for path in tmp_path.iterdir())
    out = str(tmp_path / "x.jsonl")
    assert call(monkeypatch, "what-if", written, "--drop", "nobody", "--out", out) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    nowhere = str(tmp_path / "none" / "x.jsonl")
    assert call(monkeypatch, "what-if", written, "--drop", "short", "--out", nowhere) == 2
    assert "name a file in a folder" in capsys.readouterr().err
