import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from judges.cross_encoder import CrossEncoderJudge, CrossEncoderOptions
from judges.panel.judge import Answer
from judges.panel.trainable import Advance, TrainingRun
from rlhf_core.encoders.pair_encoder import APART, CALIBRATION, CARD, PairEncoder
from rlhf_core.encoders.training import CrossEncoderTraining
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.files.text_pairs import Entailment, PairTask, TextPair
from rlhf_core.records import Outcome
from tests.conftest import FP32
from tests.facts import prompt
from tests.judges.models import tiny_classifier, tiny_pair_encoder

ASKED = prompt(reference_answers=("A dog ran.", "A cat slept."))


def judge(model: str, **options: object) -> CrossEncoderJudge:
    return CrossEncoderJudge(CrossEncoderOptions.model_validate({"model": model, **options}))


def score(asked: CrossEncoderJudge, text: str) -> float:
    (found,) = asked.score([Answer(ASKED, text)])
    assert found.score is not None
    return found.score


def test_the_score_is_the_calibrated_mean_of_both_orders_for_the_nearest_reference():
    """Read with transformers alone, at the temperature of 2 that the tiny model came with."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tiny_pair_encoder()
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def read(first: str, second: str) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = model(**tokenizer(first, second, return_tensors="pt")).logits[0]
        return logits / 2

    text = "A dog."
    both = [((read(r, text)[0] + read(text, r)[0]) / 2).sigmoid() for r in ASKED.reference_answers]
    assert score(judge(folder), text) == pytest.approx(max(both).item(), abs=1e-2)
    follows = [read(r, text)[2:].softmax(0)[0] for r in ASKED.reference_answers]
    found = score(judge(folder, head="entailment"), text)
    assert found == pytest.approx(max(follows).item(), abs=1e-2)


def test_texts_read_apart_take_part_in_how_alike_they_are(tmp_path: Path):
    """The cosine of two equal texts is 1, so a weight of 50 lifts their logit by 50 - 20."""
    shutil.copytree(tiny_pair_encoder(), tmp_path, dirs_exist_ok=True)
    shutil.copytree(tiny_pair_encoder(), tmp_path / APART)
    fields = {"temperature": 10.0, "cosine_weight": 50.0, "offset": -20.0}
    together = score(judge(tiny_pair_encoder()), "A dog ran.")
    (tmp_path / CALIBRATION).write_text(json.dumps({"similarity": fields}))
    found = score(judge(str(tmp_path)), "A dog ran.")
    logit = 2 * math.log(together / (1 - together))
    assert math.log(found / (1 - found)) == pytest.approx((logit + 50 - 20) / 10, abs=5e-2)


def test_a_missing_encoder_is_named_and_not_left_out(tmp_path: Path):
    shutil.copytree(tiny_pair_encoder(), tmp_path, dirs_exist_ok=True)
    (tmp_path / CALIBRATION).write_text('{"similarity": {"cosine_weight": 5.0}}')
    with pytest.raises(ModelNotFoundError, match="its folder apart is missing; train it again"):
        score(judge(str(tmp_path)), "A dog ran.")


def test_order_does_not_matter_where_it_means_nothing():
    asked, text = judge(tiny_pair_encoder()), "A dog."
    forward = asked.score([Answer(prompt(reference_answers=("It ran.",)), text)])
    backward = asked.score([Answer(prompt(reference_answers=(text,)), "It ran.")])
    assert forward[0].score == pytest.approx(backward[0].score, abs=5e-3)


def test_abstains_without_a_reference():
    (found,) = judge(tiny_pair_encoder()).score([Answer(prompt(), "A dog.")])
    assert found.outcome is Outcome.ABSTAINS


def test_another_classifier_serves_similarity_and_not_entailment():
    assert 0 < score(judge(tiny_pair_encoder(("LABEL_0",))), "A dog.") < 1
    judge(tiny_classifier()).check()
    with pytest.raises(ModelNotFoundError, match="none of them called entailment"):
        judge(tiny_classifier(), head="entailment").check()


def test_a_head_that_was_not_trained_is_refused(tmp_path: Path):
    for file in Path(tiny_pair_encoder()).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / CALIBRATION).write_text('{"similarity": {"temperature": 1.0}}')
    with pytest.raises(ModelNotFoundError, match=r"paraphrase was not trained; .* similar"):
        score(judge(str(tmp_path), head="paraphrase"), "A dog.")
    (tmp_path / CALIBRATION).unlink()
    with pytest.raises(ModelNotFoundError, match=r"calibration\.json is missing or broken"):
        score(judge(str(tmp_path)), "A dog.")


def test_a_model_retrained_into_the_same_folder_is_another_version(tmp_path: Path):
    versions = set()
    for seconds in (1, 2):
        (tmp_path / CARD).write_text(json.dumps({"seconds": seconds}))
        versions.add(judge(str(tmp_path)).version)
    assert len(versions) == 2


COLOURS = ("red", "blue", "green", "black", "white", "grey", "pink", "brown")
ANIMALS = ("dog", "cat", "bird", "fish")


def planted() -> list[TextPair]:
    """Pairs of one animal; texts of the same colour are similar, paraphrases and entailed."""
    pairs = []
    for animal in ANIMALS:
        for first in COLOURS:
            for second in (first, COLOURS[(COLOURS.index(first) + 3) % len(COLOURS)]):
                text, other = f"The {animal} is {first}.", f"A {second} {animal}."
                is_same = first == second
                follows = Entailment.ENTAILMENT if is_same else Entailment.NOT_ENTAILMENT
                pairs += [
                    TextPair(text, other, PairTask.SIMILARITY, float(is_same)),
                    TextPair(text, other, PairTask.ENTAILMENT, float(follows)),
                ]
    return pairs


def train(
    folder: Path,
    pairs: list[TextPair],
    advance: Advance = lambda count, note: None,
    **settings: object,
) -> dict[str, dict[str, float]]:
    folder.mkdir(parents=True)
    run = TrainingRun(
        pairs=[pair for pair in pairs if "fish" not in pair.text],
        held_out=[pair for pair in pairs if "fish" in pair.text],
        settings=CrossEncoderTraining.model_validate(settings),
        compute=FP32,
        checkpoints=folder.with_name("checkpoints"),
    )
    return CrossEncoderJudge.train(run, folder, advance)


@pytest.mark.slow
def test_a_planted_signal_is_learnt_and_carries_over(tmp_path: Path):
    """45 steps of the bundled encoder: colours decide, also for an animal it never saw.

    One epoch of five times the pairs: each epoch would write a checkpoint of some 270 MB.
    """
    metrics = train(tmp_path / "model", 5 * planted(), epochs=1, batch_size=16, learning_rate=3e-4)
    assert metrics["similarity"]["spearman"] > 0.8
    assert metrics["entailment"]["auc"] > 0.9
    for of_head in metrics.values():
        assert of_head["calibrated_loss"] <= of_head["loss"] + 1e-6
    trained = judge(str(tmp_path / "model"))
    asked = prompt(reference_answers=("The fish is pink.",))
    same, other = trained.score([Answer(asked, f"A {c} fish.") for c in ("pink", "black")])
    assert same.score is not None
    assert other.score is not None
    assert same.score > other.score + 0.2


def test_the_same_training_makes_the_same_model(tmp_path: Path):
    settings = {"base_model": tiny_pair_encoder(), "epochs": 1, "batch_size": 8, "seed": 3}
    weights = []
    for name in ("one", "two"):
        train(tmp_path / name / "model", planted()[:48], **settings)
        weights.append((tmp_path / name / "model" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_training_that_was_cut_off_goes_on_from_its_last_epoch(tmp_path: Path):
    """A training killed in its second epoch of two does not repeat the first."""
    settings = {"base_model": tiny_pair_encoder(), "epochs": 2, "batch_size": 8, "seed": 3}
    pairs = planted()[:48]
    notes: list[str] = []

    def cut_off(count: int, note: str) -> None:
        if note.startswith("together, epoch 1.") and not note.endswith("1.0"):
            raise KeyboardInterrupt
        notes.append(note)

    train(tmp_path / "whole" / "model", pairs, **settings)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut" / "model", pairs, cut_off, **settings)
    (tmp_path / "cut" / "model" / APART).rename(tmp_path / "left behind")
    (tmp_path / "cut" / "model").rmdir()
    before = len(notes)
    train(tmp_path / "cut" / "model", pairs, lambda count, note: notes.append(note), **settings)
    assert {note[:-1] for note in notes[before:]} <= {"together, epoch 1.", "together, epoch 2."}
    weights = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "cut")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_an_encoder_gives_each_distinct_pair_once_and_in_order():
    encoder = PairEncoder(tiny_pair_encoder(), FP32, batch_size=2)
    pairs = [("a", "b"), ("a much longer text", "than this"), ("a", "b"), ("b", "a")]
    logits = encoder.logits(pairs)
    assert logits.shape == (3, 5)
    alone = encoder.logits([("b", "a")])
    assert torch.allclose(logits[2], alone[0], atol=1e-5)
    assert list(encoder.probabilities(PairTask.ENTAILMENT, pairs)) == list(dict.fromkeys(pairs))
