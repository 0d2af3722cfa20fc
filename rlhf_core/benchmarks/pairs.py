"""Pairs of sentences that differ in a group of people: CrowS-Pairs and Winogender.

A model is compared by its probabilities of the two sentences, as in InstructGPT
(arXiv:2203.02155, section 4.2): a model without bias finds both equally likely, and the binary
distribution over the two has an entropy of 1 bit. Sentences are read as they stand, without a chat
template, after the tokenizer's first token.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from rlhf_core.errors import DataFileError
from rlhf_core.files.cells import Cells
from rlhf_core.files.rows import read_source
from rlhf_core.models.sequences import TokenSequence

STEREOTYPICAL, MALE, ENTROPY = "stereotypical", "male", "entropy"
GENDERS = ("male", "female", "neutral")
REFERENTS = {"0": "occupation", "1": "participant"}


@dataclass(frozen=True)
class SentencePair:
    """Two sentences, and the metric that counts how often the first is the likelier one."""

    name: str
    part: str
    cluster: str
    first: str
    second: str
    metric: str

    def sequences(self, tokenizer: PreTrainedTokenizerBase) -> list[TokenSequence]:
        """Return the sentences as tokens; the beginning that both share is their prompt.

        It adds the same to both log-probabilities, and both differ after it.
        """
        start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        texts = [
            [start, *tokenizer.encode(text, add_special_tokens=False)]
            for text in (self.first, self.second)
        ]
        # One sentence may be the beginning of the other; each keeps a token of its own to predict.
        longest = min(len(text) for text in texts) - 1
        shared = next((n for n in range(longest) if texts[0][n] != texts[1][n]), longest)
        return [TokenSequence(tuple(text[:shared]), tuple(text[shared:])) for text in texts]

    def values(self, logprobs: Sequence[float]) -> Mapping[str, float]:
        """Return 1 if the first sentence is likelier, 0.5 for a tie, and the entropy in bits."""
        first, second = logprobs
        likelier = 0.5 if first == second else float(first > second)
        return {self.metric: likelier, ENTROPY: binary_entropy(first - second)}


def binary_entropy(log_odds: float) -> float:
    """Return the entropy in bits of a choice between two with these log-odds, in nats."""
    odds = abs(log_odds)
    if odds > 700:
        return 0.0
    p = 1 / (1 + math.exp(odds))  # of the less likely one, at most 1/2
    # log(1 - p) = -log(1 + e^-odds), and log p is that less the odds.
    rest = -math.log1p(math.exp(-odds))
    return -(p * (rest - odds) + (1 - p) * rest) / math.log(2)


def read_crows_pairs(path: Path) -> list[SentencePair]:
    """Return the pairs of a file in the format of CrowS-Pairs (Nangia et al., arXiv:2010.00133).

    `sent_more` is the more stereotypical sentence in both directions of `stereo_antistereo`.

    Args:
        path: A table with the columns sent_more, sent_less and bias_type.

    Raises:
        DataFileError: If a row lacks one of them, or the file has no row; names file and line.
    """
    pairs = []
    for number, (place, row) in enumerate(read_source(path)):
        cells = Cells(place, row)
        more, less = (_sentence(cells, name) for name in ("sent_more", "sent_less"))
        part = cells.text("bias_type")
        pairs.append(SentencePair(str(number), part, str(number), more, less, STEREOTYPICAL))
    return _some(path, pairs)


def read_winogender(path: Path) -> list[SentencePair]:
    """Return the pairs of a file in the format of Winogender's sentences (arXiv:1804.09301).

    Args:
        path: A table with the columns sentid, such as `nurse.patient.0.male.txt`, and sentence:
            the `all_sentences.tsv` of the schemas. Sentences with a neutral pronoun are not used.

    Returns:
        A pair of each male and female sentence. Pairs of one occupation are a cluster.

    Raises:
        DataFileError: If a name has another form, or a sentence lacks its counterpart.
    """
    sentences: dict[str, dict[str, str]] = {}
    for place, row in read_source(path):
        cells = Cells(place, row)
        name = cells.text("sentid")
        stem, _, gender = name.removesuffix(".txt").rpartition(".")
        if gender not in GENDERS or stem.count(".") != 2 or stem[-1] not in REFERENTS:
            raise cells.error(
                f"sentid {name!r} is not of the form OCCUPATION.PARTICIPANT.ANSWER.GENDER.txt, "
                "where ANSWER is 0 or 1 and GENDER is male, female or neutral"
            )
        sentences.setdefault(stem, {})[gender] = _sentence(cells, "sentence")
    pairs = []
    for stem, by_gender in sentences.items():
        if not {"male", "female"} <= by_gender.keys():
            raise DataFileError(f"{path}: {stem} has no male or no female sentence; add it")
        occupation, _, answer = stem.split(".")
        first, second = by_gender["male"], by_gender["female"]
        pairs.append(SentencePair(stem, REFERENTS[answer], occupation, first, second, MALE))
    return _some(path, pairs)


def _sentence(cells: Cells, column: str) -> str:
    text = cells.text(column).strip()
    if not text:
        raise cells.error(f"{column!r} is empty; fill it in or remove the row")
    return text


def _some(path: Path, pairs: list[SentencePair]) -> list[SentencePair]:
    if not pairs:
        raise DataFileError(f"{path}: it has no rows")
    return pairs
