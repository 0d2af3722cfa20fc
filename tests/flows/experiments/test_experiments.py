"""Experiments with a tiny model: rows, resume, page, command."""

import json
from pathlib import Path

import pytest
import torch

from flows.experiments.catalogue import EXPERIMENTS, find_experiment
from flows.experiments.k_wise import pair_count, shuffle_pairs, token_count, within_tokens
from flows.experiments.laboratory import at_kl
from flows.experiments.page import experiment_page
from flows.experiments.results import Row, row_path
from flows.experiments.runner import Setting, describe_plan, rebuild_page, run_experiment
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.errors import DataFileError, InputError
from rlhf_core.models.sequences import TokenSequence
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE
from tests.flows.test_cli import call

TINY = (f"prompts.path={ROOT / 'deploy/prompts/default.jsonl'}",)


def setting(folder: Path, name: str = "k-wise", seeds: int = 1) -> Setting:
    return Setting(find_experiment(name), folder / name, Path(SMOKE), TINY, seeds)


def quiet(line: str) -> None:
    """Print nothing."""


@pytest.fixture(scope="module")
def measured(server: str, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """The experiment k-wise with one seed of a tiny model."""
    done = setting(tmp_path_factory.mktemp("experiments"))
    run_experiment(done, quiet)
    return done


def test_a_run_ends_with_a_page_of_its_own(measured: Setting):
    page = measured.page.read_text()
    assert all(claim.text in page for claim in measured.experiment.claims)
    assert "prefers-color-scheme: dark" in page
    assert "<script" not in page
    assert not any(mark in page for mark in ('src="http', 'href="http', "url(http", "@import"))


def test_rows_lie_beside_the_page(measured: Setting):
    rows = json.loads((measured.folder / "results.json").read_text())
    assert [(row["arm"], row["seed"]) for row in rows] == [
        (arm.name, 1) for arm in measured.experiment.arms
    ]
    assert all(0 <= row["numbers"]["accuracy"] <= 1 for row in rows)
    pairs = {row["arm"]: row["numbers"]["pairs"] for row in rows}
    assert pairs["k-wise"] == pairs["shuffled-pairs"] > pairs["pairs-equal-tokens"]


def test_a_rerun_measures_nothing_again(measured: Setting):
    paths = [row_path(measured.folder, arm.name, 1) for arm in measured.experiment.arms]
    before = [path.stat().st_mtime_ns for path in paths]
    said: list[str] = []
    run_experiment(measured, said.append)
    assert said == []
    assert [path.stat().st_mtime_ns for path in paths] == before
    assert "3 of 3 rows are there" in "".join(describe_plan(measured))


def test_a_row_of_other_settings_is_not_reused(measured: Setting):
    changed = Setting(
        measured.experiment, measured.folder, measured.base, (*TINY, "reward_model.epochs=2")
    )
    assert changed.rows() == []


def test_more_seeds_add_to_the_old_ones(measured: Setting):
    more = Setting(measured.experiment, measured.folder, measured.base, TINY, seeds=2)
    assert len(more.rows()) == 3
    assert "3 of 6 rows are there" in "".join(describe_plan(more))


def test_the_page_can_be_written_again_at_any_time(measured: Setting):
    page = measured.page.read_text()
    measured.page.unlink()
    rebuild_page(measured)
    assert measured.page.read_text() == page


def test_a_broken_row_is_named(measured: Setting, tmp_path: Path):
    broken = setting(tmp_path)
    path = row_path(broken.folder, "k-wise", 1)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(DataFileError, match=r"k-wise-seed-1\.json is no row"):
        broken.rows()


def test_every_experiment_has_a_page_without_rows():
    for experiment in EXPERIMENTS.values():
        assert "none yet" in experiment_page(experiment, [])


def test_every_claim_names_arms_and_measures_that_exist():
    for experiment in EXPERIMENTS.values():
        arms = {arm.name for arm in experiment.arms}
        measures = {measure.name for measure in experiment.measures}
        for claim in experiment.claims:
            assert claim.measure in measures
            assert {claim.arm, claim.other or claim.arm} <= arms


def test_a_page_shows_verdicts_and_curves():
    experiment = find_experiment("k-wise")
    rows = [
        Row(experiment="k-wise", arm=arm, seed=seed, digest="", seconds=1.0,
            numbers={"loss": loss + 0.01 * seed})
        for arm, loss in (("k-wise", 0.5), ("shuffled-pairs", 0.7))
        for seed in (1, 2, 3)
    ]  # fmt: skip
    page = experiment_page(experiment, rows)
    assert page.count(">held<") == 1
    assert page.count(">undecided<") == 3


def test_an_unknown_name_is_answered_with_all_names(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"no experiment 'kwise'; there are .*k-wise"):
        find_experiment("kwise")
    assert call(monkeypatch, "experiment", "kwise") == 2


def test_the_list_names_every_experiment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert call(monkeypatch, "experiment", "--list") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in EXPERIMENTS)


def ranking(size: int) -> RankedCandidates:
    """Candidates in descending order, the last two tied; 3 tokens of prompt, 2 an answer."""
    preferences = torch.ones(size, size).triu(1)
    preferences[-2, -1] = 0.0
    return RankedCandidates(
        tuple(TokenSequence((1, 2, 3), (10 + n, 0)) for n in range(size)), preferences
    )


def test_shuffled_pairs_are_all_labelled_pairs():
    """Four candidates have six pairs, of which one is a tie."""
    pairs = shuffle_pairs([ranking(4)], seed=1)
    found = {
        tuple(s.response_ids[0] for s in (pair.sequences if pair.preferences[0, 1] == 1
                                          else reversed(pair.sequences)))
        for pair in pairs
    }  # fmt: skip
    assert found == {(10, 11), (10, 12), (10, 13), (11, 12), (11, 13)}
    assert pair_count(ranking(4)) == len(pairs) == 5
    assert token_count(pairs[0]) == 3 + 2 * 2


def test_pairs_are_taken_until_the_tokens_are_used():
    """Three pairs of 7 tokens fit into 27."""
    assert len(within_tokens(shuffle_pairs([ranking(4)], seed=1), 27)) == 3
    assert len(within_tokens(shuffle_pairs([ranking(4)], seed=1), 1)) == 1


def test_a_curve_is_read_between_its_points():
    """Halfway between KL 1 and 3 lies the mean of 10 and 20."""
    curve = [(3.0, 20.0), (1.0, 10.0)]
    assert at_kl(curve, 2.0) == pytest.approx(15.0)
    assert at_kl(curve, 3.0) == pytest.approx(20.0)
    assert at_kl(curve, 3.5) is None
