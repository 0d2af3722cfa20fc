"""`solon judges bench` measures judges on the files that `solon export` writes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rlhf_core.files.labelled import LabelledSet
from rlhf_core.files.labelled_reading import read_labelled
from rlhf_core.preferences.ranking import rankings_and_pairs
from rlhf_core.preferences.votes import Combination
from rlhf_core.records import ConfigVersion, Judgement, Mode, Outcome, Prompt
from rlhf_core.store import Store
from tests.facts import candidate
from tests.flows.test_cli import call

Solon = Callable[..., int]
ENDINGS = [".jsonl", ".parquet", ""]
SHAPES = ["--plain", "--conversational"]
ASKED = Prompt(
    text="Which one?",
    context="A text.",
    mode=Mode.TEXT_GROUNDED,
    reference_answers=("best",),
    split="train",
)
ANSWERS = [candidate(text, n, prompt_id=ASKED.id) for n, text in enumerate(("good", "best", "bad"))]
SCORES = (0.6, 0.9, 0.1)


@pytest.fixture
def solon(monkeypatch: pytest.MonkeyPatch, store: Store) -> Solon:
    said = [
        Judgement(
            prompt_id=ASKED.id,
            judge="judge",
            judge_version="judge-1",
            candidate_id=answer.id,
            outcome=Outcome.SCORED,
            score=score,
        )
        for answer, score in zip(ANSWERS, SCORES, strict=True)
    ]
    made = rankings_and_pairs([ANSWERS], said, Combination({"judge-1": 1.0}, 0.1), "hash")
    config = ConfigVersion(config_hash="hash", config="{}")
    store.append([config, ASKED, *ANSWERS, *said, *made[0], *made[1]])
    store.publish()
    at = ("--set", f"store={store.files.database}")
    return lambda *arguments: call(monkeypatch, *map(str, arguments), *at)


def preferred(found: LabelledSet) -> set[tuple[str, str]]:
    return {
        (pair.first, pair.second) if pair.target == 1 else (pair.second, pair.first)
        for pair in found.pairs
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("form", ["preference", "ranking"])
def test_exported_pairs_are_labelled_pairs(
    solon: Solon, tmp_path: Path, form: str, ending: str, shape: str
):
    """The prompt without the text it is about, which stands beside it; best > good > bad."""
    file = tmp_path / f"{form}{ending}"
    assert solon("export", file, "--format", form, shape) == 0
    found = read_labelled(file)
    assert preferred(found) == {("best", "good"), ("best", "bad"), ("good", "bad")}
    for pair in found.pairs:
        assert (pair.prompt.text, pair.prompt.context) == ("Which one?", "A text.")
        assert pair.prompt.reference_answers == ("best",)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_exported_labels_are_labelled_texts(solon: Solon, tmp_path: Path, ending: str, shape: str):
    """Best won both of its pairs, bad lost both; good won as often as it lost and stays here."""
    file = tmp_path / f"kto{ending}"
    assert solon("export", file, "--format", "kto", shape) == 0
    found = read_labelled(file)
    assert {(text.answer, text.target) for text in found.texts} == {("best", 1.0), ("bad", 0.0)}
    assert {text.prompt.text for text in found.texts} == {"Which one?"}


def test_a_judge_is_measured_on_an_export(
    solon: Solon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """Similarity to the reference `best` is exact match here: right of best, tied of the others."""
    assert solon("export", tmp_path / "pairs.parquet", "--conversational") == 0
    panel = tmp_path / "panel.yaml"
    panel.write_text("judges: [{kind: verifier, metric: exact}]\n")
    data = ("--data", tmp_path / "pairs.parquet")
    places = ("--set", f"artifacts={tmp_path}")
    assert solon("judges", "bench", panel, *data, *places, "--json") == 0
    assert '"accuracy", "value": 0.8333' in " ".join(capsys.readouterr().out.split())
