"""The two passes of an import: the first counts what will be written, the second yields the facts.

Rows are treated like prompts at ingest: deleted prompts stay deleted; personal data is counted or
masked, or its row is dropped; prompts that repeat others are left out with all their rows.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from rlhf_core.config.prompts import HygieneSettings
from rlhf_core.exchange.examples import Example
from rlhf_core.exchange.facts import (
    Importer,
    Labels,
    demonstrated_prompt,
    labels_among,
    match_labels,
)
from rlhf_core.exchange.source import ImportSource, Survey, survey
from rlhf_core.identity import content_id
from rlhf_core.prompts.hygiene import LeftOut, find_removals
from rlhf_core.prompts.intake import ACTIONS
from rlhf_core.records import ImportedRow, PrivacyFinding, Prompt, PromptRemoval, Record


@dataclass
class Account:
    """Outcome of an import: which rows of a source are kept, and why the others are not."""

    source: ImportSource
    importer: Importer
    survey: Survey
    prompts: set[str] = field(default_factory=set)
    """Ids of the prompts whose rows are kept."""
    deleted: set[str] = field(default_factory=set)
    """Ids of the prompts that a user had deleted."""
    repetitions: dict[str, LeftOut] = field(default_factory=dict)
    """Prompts that hygiene left out, by the id they would have."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Number of rows that are not kept, by reason."""
    findings: dict[str, Counter[str]] = field(default_factory=dict)
    """Places with personal data by kind, for each kept prompt that has any, by its id."""
    rows: int = 0
    pairs: int = 0

    @property
    def dropped(self) -> list[Counter[str]]:
        """Places with personal data by kind, for each row that was dropped for it."""
        return list(self.source.screen.dropped.values()) if self.source.screen else []

    @property
    def personal_data(self) -> dict[str, int]:
        """Number of places with personal data, by kind."""
        counts = sum([*self.findings.values(), *self.dropped], Counter[str]())
        return dict(sorted(counts.items()))

    def facts(self) -> Iterator[list[Record]]:
        """Run the second pass: yield the records in writing order, in groups to write together."""
        yield [self.importer.config, self.importer.model]
        labels: defaultdict[str, Labels] = defaultdict(dict)
        for prompt, examples in _by_prompt(self.importer, self.source.examples()):
            if prompt.id not in self.prompts:
                continue
            facts = list(self.importer.facts(prompt, examples))
            yield facts
            for candidate_id, label, judgement in labels_among(facts):
                labels[prompt.id].setdefault(candidate_id, {})[label] = judgement.id
        for prompt_id, of_prompt in labels.items():
            yield list(self.importer.label_pairs(prompt_id, of_prompt))
        yield list(self._ended())

    def _ended(self) -> Iterator[Record]:
        """Yield the records that close the import: that it is complete, and what it left out."""
        bad = len(self.survey.bad)
        ended = self.importer.record(self.rows, self.left_out.total(), bad)
        yield ended
        for id, left in self.repetitions.items():
            yield PromptRemoval(
                prompt_set_id=ended.id, prompt_id=id, reason=left.reason, kept_id=left.kept_id
            )
        if self.source.screen is None:
            return
        action = ACTIONS.get(self.source.screen.settings.policy, "")
        about = {"prompt_set_id": ended.id, "source": ended.source, "action": action}
        for prompt_id, kinds in self.findings.items():
            for kind, spans in kinds.items():
                yield PrivacyFinding(kind=kind, prompt_id=prompt_id, spans=spans, **about)
        for kind, spans in sum(self.dropped, Counter[str]()).items():
            rows = sum(kind in kinds for kinds in self.dropped)
            yield PrivacyFinding(kind=kind, spans=spans, prompts=rows, **about)


def account_of(
    source: ImportSource,
    name: str,
    holdout: float,
    hygiene: HygieneSettings,
    tombstones: Collection[str] = (),
) -> Account:
    """Run the first pass over a source.

    Args:
        source: The rows, and how they are read.
        name: Name under which the import is stored.
        holdout: Share of the prompts that are held out, 0 to 1.
        hygiene: Rules for repetitions; limits per user do not apply, since imports have no users.
        tombstones: Ids of deleted prompts, which must not return.

    Returns:
        What will be kept and why the rest will not; `facts` runs the second pass.

    Raises:
        DataFileError: If a row cannot be read, or no row can be kept.
        ConfigError: If the packages that detect personal data are not installed.
    """
    result = Survey()
    begun = Importer(name, "preference", "", holdout)
    account = Account(source, begun, result)
    has_rules = hygiene != HygieneSettings()
    prompts: dict[str, Prompt | None] = {}
    rows: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    labels: defaultdict[str, Labels] = defaultdict(dict)
    for prompt, examples in _by_prompt(begun, survey(source, result)):
        rows[prompt.id] += len(examples)
        if _are_deleted(begun, prompt, examples, tombstones):
            account.deleted.add(prompt.id)
            continue
        prompts.setdefault(prompt.id, prompt if has_rules else None)
        for example in examples:
            kinds = account.findings.get(prompt.id, Counter()) + example.personal_data
            if kinds:
                account.findings[prompt.id] = kinds
            pairs[prompt.id] += len(example.utilities) * (len(example.utilities) - 1) // 2
            if example.label is not None:
                answer = content_id(example.answers[0].text)
                labels[prompt.id].setdefault(answer, {})[example.label] = ""
    compared = [prompt for prompt in prompts.values() if prompt]
    account.repetitions = find_removals(compared, {}, hygiene)
    account.prompts = prompts.keys() - account.repetitions.keys() - account.deleted
    account.findings = {id: k for id, k in account.findings.items() if id in account.prompts}
    of_deleted = sum(rows[id] for id in account.deleted)
    account.left_out = result.left_out + Counter({"of prompts that a user had deleted": of_deleted})
    for id, left in account.repetitions.items():
        account.left_out[str(left.reason)] += rows[id]
    account.rows = sum(rows[id] for id in account.prompts)
    account.pairs = sum(pairs[id] + len(match_labels(labels[id])) for id in account.prompts)
    digest = result.digest
    if account.repetitions:
        digest = content_id(digest, sorted(account.repetitions))
    account.importer = Importer(name, result.form, digest, holdout, result.scale)
    return account


def _by_prompt(
    importer: Importer, examples: Iterable[Example]
) -> Iterator[tuple[Prompt, list[Example]]]:
    """Yield each row with its prompt; demonstrations of one prompt are yielded together."""
    of_prompt: dict[str, list[Example]] = {}
    for example in examples:
        if example.form == "sft":
            of_prompt.setdefault(importer.prompt(example).id, []).append(example)
        else:
            yield importer.prompt(example), [example]
    for shown in of_prompt.values():
        yield demonstrated_prompt(importer, shown), shown


def _are_deleted(
    importer: Importer, prompt: Prompt, examples: list[Example], tombstones: Collection[str]
) -> bool:
    """Return True if a user had the prompt deleted, before or after masking."""
    if not tombstones:
        return False
    as_read = [example.as_read for example in examples]
    before = {kept.id for kept, _ in _by_prompt(importer, as_read)}
    return bool(before.union({prompt.id}).intersection(tombstones))


def rows_in(facts: Iterable[Record]) -> int:
    return sum(isinstance(fact, ImportedRow) for fact in facts)
