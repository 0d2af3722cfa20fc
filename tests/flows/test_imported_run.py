"""A cycle that learns from imported preferences, to its end."""

import json
from pathlib import Path

import pytest

from flows.cli.imports import _import
from flows.cycle.cycle import cycle_of
from flows.run import run_cycles
from flows.training.rankings import count_imported, training_rankings
from rlhf_core.exchange.source import ImportSource
from rlhf_core.records import ModelVersion, Pair, Prompt, Ranking
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.checks import Severity, run_checks
from tests.flows.conftest import smoke
from tests.flows.test_cli import call

PAIRS = [
    {"prompt": f"What is {n} and {n}?", "chosen": str(2 * n), "rejected": f"{n}{n}"}
    for n in range(1, 9)
]
LABELS = [
    {"prompt": "Is fire hot?", "completion": answer, "label": answer == "Yes."}
    for answer in ("Yes.", "No.", "Maybe.")
]


def imported(folder: Path, name: str, rows: list[dict[str, object]]) -> str:
    """The judge version under which they are kept."""
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(_import(folder / "solon.duckdb", ImportSource(path), name, 0.0)["judge_version"])


def answered(*texts: str) -> list[dict[str, str]]:
    roles = ("assistant", "user") * len(texts)
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def test_answers_of_several_messages_train_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """A policy that learnt from them would write the user's turns, too."""
    asked = [{"role": "user", "content": "How far?"}]
    short, long = answered("Ten miles."), answered("Why?", "I walk.", "Ten miles.")
    other = [{"role": "user", "content": "How high?"}]
    imported(
        tmp_path,
        "dialogues",
        [
            {"prompt": asked, "chosen": short, "rejected": long},
            {"prompt": other, "chosen": answered("A mile."), "rejected": answered("Two.")},
        ],
    )
    config = smoke(tmp_path, "preferences.imported.sources=[dialogues]")
    assert count_imported(config) == 1
    learnt = training_rankings(cycle_of(config, 1), Store(config.store), "sft-none", "none", [])
    (prompt,) = (p for p in Store(config.store).rows(Prompt) if p.id == learnt[0].prompt_id)
    assert (len(learnt), prompt.text) == (1, "How high?")
    assert "1 imported rankings are left out: an answer has more than one message" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "dpo"])
@pytest.mark.usefixtures("server")
def test_a_run_learns_from_what_was_imported(
    tmp_path: Path,
    algorithm: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Pairs and labelled answers beside its own rankings; lineage leads there, the checks agree."""
    versions = {
        imported(tmp_path, "pairs", [dict(row) for row in PAIRS]),
        imported(tmp_path, "labels", [dict(row) for row in LABELS]),
    }
    sources = "preferences.imported.sources=[pairs, labels]"
    dpo = ["training={algorithm: dpo, epochs: 1}"] if algorithm == "dpo" else []
    config = smoke(tmp_path, sources, *dpo)
    run_cycles(config, 1, is_quiet=True)
    store = Store(config.store)
    external = {r.id for r in store.rows(Ranking) if r.recipe in versions}
    assert len(external) == len(PAIRS) + 2
    models = {model.id: model for model in store.rows(ModelVersion)}
    pairs = {pair.id for pair in store.rows(Pair) if pair.ranking_id in external}
    learnt: dict[str, set[str]] = {}
    for row in store.query("SELECT model_id, pair_id FROM model_pairs"):
        learnt.setdefault(models[row["model_id"]].kind.value, set()).add(row["pair_id"])
    assert {kind for kind in learnt if pairs <= learnt[kind]} == (
        {"reward", "policy"} if algorithm == "dpo" else {"reward"}
    )
    (policy,) = (model for model in models.values() if model.kind == "policy")
    capsys.readouterr()
    place = ("--limit", "100", "--set", f"store={config.store}")
    assert call(monkeypatch, "lineage", policy.id, "--json", *place) == 0
    told = capsys.readouterr().out
    assert all(id in told for id in external)
    assert all(version in told for version in versions)
    with reading(config.store) as snapshot:
        found = run_checks(snapshot)
    assert [check for check in found if check.severity is Severity.ERROR and check.found] == []
