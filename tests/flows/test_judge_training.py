"""Training and scoring of judges on files, as `solon judges train` and `score` do it."""

import json
from pathlib import Path

import pytest

from judges.bench.scoring import as_lines, score_pairs
from judges.panel.trainable import Trainable
from judges.training.encoder import is_held_out, prepare_training, train_judge
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.files.text_pairs import PairFormat
from tests.judges.models import tiny_pair_encoder

KNOWN = PairFormat()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.csv"
    rows = (f"Text number {n}.,Text of number {n + n % 2}.,{5 * (1 - n % 2)}\n" for n in range(60))
    file.write_text("".join(rows))
    return file


def settings() -> list[str]:
    return [f"base_model={tiny_pair_encoder()}", "epochs=1", "batch_size=16"]


def test_a_training_is_planned_made_and_scored(data: Path, tmp_path: Path):
    out = tmp_path / "model"
    training = prepare_training("cross_encoder", [data], [], KNOWN, settings(), out)
    assert not out.exists()
    kept = sum(not is_held_out(f"Text number {n}.") for n in range(60))
    plan = training.plan()
    assert plan["pairs"] == {"similarity": kept}
    assert plan["held_out"] == {"similarity": 60 - kept}
    assert plan["steps"] == 2 * -(-kept // 16), "read apart, and read together"
    card = train_judge(training)
    assert json.loads((out / "training_card.json").read_text()) == card
    assert list(card["data"]) == [str(data)]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["model", "pairs.csv"], "checkpoints and unfinished folders are cleared away"
    rows = score_pairs("cross_encoder", {"model": str(out)}, data, KNOWN)
    assert len(as_lines(rows)) == 60
    assert all(0 <= float(line) <= 1 for line in as_lines(rows))


def test_what_is_held_out_is_not_trained_on_in_either_order(data: Path, tmp_path: Path):
    dev = tmp_path / "dev.csv"
    dev.write_text("Text of number 2.,Text number 2.,5\n")
    found = prepare_training("cross_encoder", [data], [dev], KNOWN, settings(), tmp_path / "m")
    assert found.left_out == 1
    assert len(found.run.pairs) == 59


def test_a_judge_without_anything_to_train_is_refused(data: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="judge 'brevity' has nothing to train"):
        prepare_training("brevity", [data], [], KNOWN, [], tmp_path / "m")


def test_a_folder_of_other_things_is_not_written_over(data: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="exists and holds no trained model"):
        prepare_training("cross_encoder", [data], [], KNOWN, settings(), tmp_path)


def test_an_unknown_setting_is_named(data: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="unknown key 'epoch'; did you mean 'epochs'"):
        prepare_training("cross_encoder", [data], [], KNOWN, ["epoch=1"], tmp_path / "m")


def test_device_and_precision_are_those_of_a_config(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    chosen = [*settings(), "compute.device=cpu", "compute.precision=bf16"]
    training = prepare_training("cross_encoder", [data], [], KNOWN, chosen, tmp_path / "m")
    assert training.plan()["compute"] == "cpu, bf16 (as configured)"
    wrong = [*settings(), "compute.devise=cpu"]
    with pytest.raises(ConfigError, match="compute: unknown key 'devise'; did you mean 'device'"):
        prepare_training("cross_encoder", [data], [], KNOWN, wrong, tmp_path / "m")
    monkeypatch.setenv("SOLON__COMPUTE__DEVICE", "abacus")
    with pytest.raises(ConfigError, match=r"compute.device = 'abacus'.*use auto or cpu"):
        prepare_training("cross_encoder", [data], [], KNOWN, settings(), tmp_path / "m")


def test_pairs_are_scored_on_the_device_that_is_named(data: Path):
    compute = ComputeSettings(device="abacus")
    with pytest.raises(ConfigError, match=r"compute.device = 'abacus'"):
        score_pairs("similarity", {}, data, KNOWN, compute=compute)


def test_a_killed_training_leaves_what_was_there(data: Path, tmp_path: Path, monkeypatch):
    out = tmp_path / "model"
    training = prepare_training("cross_encoder", [data], [], KNOWN, settings(), out)
    train_judge(training)
    before = (out / "model.safetensors").read_bytes()

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    assert issubclass(training.judge, Trainable)
    monkeypatch.setattr(training.judge, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        train_judge(training)
    assert (out / "model.safetensors").read_bytes() == before


def test_a_row_without_a_score_says_why_and_gives_no_number():
    unscored = {"score": None, "outcome": "abstains", "reason": "the answer\nis empty"}
    assert as_lines([unscored, {"score": 0.5}]) == ["abstains: the answer is empty", "0.500000"]


def test_any_pointwise_judge_scores_a_file_in_its_order(tmp_path: Path):
    file = tmp_path / "pairs.tsv"
    file.write_text("The sky is blue.\tblue sky\nAn ant.\tA bee.\n")
    rows = score_pairs("verifier", {"metric": "token_f1"}, file, KNOWN)
    # Without articles: sky is blue / blue sky share 2 of 3 + 2 words, so 4/5; ant / bee share none.
    assert [row["score"] for row in rows] == [0.8, 0.0]
    with pytest.raises(ConfigError, match="judge 'pairwise' compares two answers"):
        score_pairs("pairwise", {}, file, KNOWN)
