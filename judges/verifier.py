"""Checks by program: text, numbers, mathematics, a pattern, a JSON schema, unit tests."""

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import regex
from pydantic import model_validator

from judges.panel.judge import Answer, Opinion, PointwiseJudge, abstains, scored
from judges.verifiers import maths, sandbox
from judges.verifiers.blocks import python_code
from judges.verifiers.final_answer import final_answer
from judges.verifiers.json_schema import read_file, validator, violation
from judges.verifiers.sandbox import Kind as SandboxKind
from rlhf_core.config import Settings
from rlhf_core.config.base import PositiveFloat, PositiveInt
from rlhf_core.records import Outcome
from rlhf_core.text.numbers import last_number
from rlhf_core.text.overlap import contains, exact_match, token_f1

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

PATTERN_TIMEOUT_SECONDS = 1.0
RAW_CHARACTERS = 200

BELONGS = {"pattern": "regex", "json_schema": "json_schema", "tests": "code"}
"""The metric that an option belongs to."""
NEEDED = ("pattern", "json_schema")
CODES = {"code": "blocks 2", "json_schema": "blocks 2", "maths": "3", "numeric": "2"}
"""Version of what one metric alone does; a change of it leaves the judges of other metrics as they
are."""

Metric = Callable[[str, str], Opinion | None]
"""Takes an answer and a reference; returns an opinion, or None if the metric cannot use the
reference."""


class VerifierOptions(Settings):
    metric: Literal[
        "exact", "contains", "numeric", "maths", "regex", "token_f1", "json_schema", "code"
    ] = "token_f1"
    """exact, contains and token_f1 normalise as SQuAD does; contains looks for the reference's
    words in a row anywhere in the answer, which suits references of a few words; numeric compares
    the last number of each text (1/2, 3,14 and 50% are read; 50% equals both 0.5 and 50); maths
    compares final answers by algebra, lists and equations part by part (needs solon[verifiers]);
    json_schema validates the answer's last ```json block, its last block without a label, or all of
    it; code runs the last of its ```python blocks that defines a function or class (else the last;
    else blocks without a label, or all of it) in a sandbox against unit tests, which are the
    prompt's reference answers, and scores the share that passes (needs bubblewrap: apt-get install
    bubblewrap)."""
    pattern: str | None = None
    """Regular expression that the answer must contain (metric: regex)."""
    tolerance: PositiveFloat = 1e-6
    """Allowed difference, relative to references above 1 (metric: numeric)."""
    json_schema: dict[str, Any] | str | None = None
    """The schema, or the path of a JSON file that holds it (metric: json_schema)."""
    tests: str | None = None
    """Test code for every prompt, instead of its reference answers (metric: code)."""
    timeout_seconds: PositiveFloat = 10.0
    """Time limit of code and tests together (metric: code)."""
    memory_megabytes: PositiveInt = 512
    """Address space of each process, at most 8, and, if a control group can be made, memory of all
    of them together (metric: code)."""
    sandbox: SandboxKind = "bubblewrap"
    """Isolation of the code (metric: code). docker runs it in a container (docker or podman), for
    machines that forbid user namespaces; off sets limits only: the code can read files and use the
    network."""

    @model_validator(mode="after")
    def _options_fit_the_metric(self) -> "VerifierOptions":
        for option, metric in BELONGS.items():
            is_given, is_used = getattr(self, option) is not None, self.metric == metric
            if (is_given and not is_used) or (is_used and not is_given and option in NEEDED):
                needs = ", and that metric needs one" if option in NEEDED else ""
                raise ValueError(f"`{option}` belongs to metric: {metric}{needs}")
        if self.pattern is not None:
            try:
                regex.compile(self.pattern)
            except regex.error as error:
                raise ValueError(f"pattern is no regular expression: {error}") from None
        return self


class VerifierJudge(PointwiseJudge[VerifierOptions]):
    Options = VerifierOptions
    code = "3"

    def fixed_text(self) -> str:
        """Return the metric's version, and the schema if it is in a file."""
        version = CODES.get(self.options.metric, "")
        if self.options.metric == "json_schema" and isinstance(self.options.json_schema, str):
            return version + read_file(self.options.json_schema)
        return version

    def check(self) -> None:
        if self.options.metric == "json_schema":
            validator(self.options.json_schema or {})
        elif self.options.metric == "maths":
            maths.check()
        self.check_machine()

    def check_machine(self) -> None:
        if self.options.metric == "code":
            sandbox.check(self.options.sandbox)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        match self.options.metric:
            case "regex":
                return [self._matches(answer.text) for answer in answers]
            case "json_schema":
                return [self._validates(answer.text) for answer in answers]
            case "maths":
                with maths.MathsWorker() as worker:
                    return [self._best(answer, equal_by(worker)) for answer in answers]
            case "code":
                return [self._best(answer, self._passes) for answer in answers]
        metrics: dict[str, Callable[[str, str], float | None]] = {
            "exact": exact_match,
            "contains": contains,
            "numeric": self._same_number,
            "token_f1": token_f1,
        }
        return [self._best(a, as_opinion(metrics[self.options.metric])) for a in answers]

    def _best(self, answer: Answer, metric: Metric) -> Opinion:
        """Return the best opinion over the references.

        While the opinion on one reference is missing, only a perfect score is certain.
        """
        tests = self.options.tests
        references = answer.prompt.reference_answers if tests is None else (tests,)
        by_reference = [metric(answer.text, reference) for reference in references]
        opinions = [opinion for opinion in by_reference if opinion is not None]
        if not opinions:
            return abstains("the prompt has no reference answer this metric can use")
        best = max(opinions, key=lambda opinion: opinion.score or 0.0)
        unscored = [opinion for opinion in opinions if opinion.score is None]
        return unscored[0] if unscored and best.score != 1.0 else best

    def _same_number(self, text: str, reference: str) -> float | None:
        wanted, given = last_number(reference), last_number(text)
        if wanted is None:
            return None
        if given is None:
            return 0.0
        pairs = given.readings(wanted)
        tolerance = Fraction(self.options.tolerance)
        return float(any(abs(a - b) <= tolerance * max(Fraction(1), abs(b)) for a, b in pairs))

    def _matches(self, text: str) -> Opinion:
        try:
            match = regex.search(self.options.pattern or "", text, timeout=PATTERN_TIMEOUT_SECONDS)
        except TimeoutError:
            return unavailable("the pattern took longer than a second")
        return scored(float(match is not None), raw_output=match.group() if match else None)

    def _validates(self, text: str) -> Opinion:
        try:
            wrong = violation(text, self._rules)
        except TimeoutError:
            return unavailable("a pattern of the schema took longer than a second")
        return scored(float(wrong is None), raw_output=wrong)

    def _passes(self, text: str, tests: str) -> Opinion | None:
        if not sandbox.is_test_code(tests):
            return None
        limits = sandbox.Limits(self.options.timeout_seconds, self.options.memory_megabytes)
        kind = self.options.sandbox
        ran = sandbox.run_tests(python_code(text), tests, limits, kind)
        if ran.passed is None:
            return unavailable(f"the sandbox did not run the code: {ran.reason}")
        result = {"passed": ran.passed, "total": ran.total, "reason": ran.reason}
        if kind == "off":
            result["sandbox"] = kind
        return scored(ran.passed / ran.total, raw_output=json.dumps(result))

    @cached_property
    def _rules(self) -> "Validator":
        return validator(self.options.json_schema or {})


def unavailable(reason: str) -> Opinion:
    return Opinion(Outcome.UNAVAILABLE, reason=reason)


def as_opinion(metric: Callable[[str, str], float | None]) -> Metric:
    def opinion(text: str, reference: str) -> Opinion | None:
        score = metric(text, reference)
        return None if score is None else scored(score)

    return opinion


def equal_by(worker: maths.MathsWorker) -> Metric:
    def opinion(text: str, reference: str) -> Opinion | None:
        try:
            is_equal = worker.equal(text, reference)
        except (TimeoutError, ValueError) as error:
            return unavailable(str(error))
        if is_equal is None:
            return None
        return scored(float(is_equal), raw_output=(final_answer(text) or "")[-RAW_CHARACTERS:])

    return opinion


JUDGE = VerifierJudge
