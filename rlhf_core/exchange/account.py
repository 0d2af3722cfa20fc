"""An import's two readings: what it comes to, known before anything is written, and its facts.

A row is kept as prompts are at ingest: deleted prompts stay away, personal data is counted, masked
or keeps the row out, and prompts that repeat others are left out, with all their rows.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from rlhf_core.config.prompts import HygieneSettings
from rlhf_core.exchange.examples import Example
from rlhf_core.exchange.facts import Importer, Labels, labelled, matched, shown_to
from rlhf_core.exchange.source import Source, Survey, survey
from rlhf_core.identity import content_id
from rlhf_core.prompts.hygiene import LeftOut, left_out
from rlhf_core.prompts.intake import ACTIONS
from rlhf_core.records import ImportedRow, PrivacyFinding, Prompt, PromptRemoval, Record


@dataclass
class Account:
    """What becomes of the rows of a source."""

    source: Source
    importer: Importer
    survey: Survey
    prompts: set[str] = field(default_factory=set)
    """Ids of those whose rows are kept."""
    deleted: set[str] = field(default_factory=set)
    """Ids of those that a user had deleted."""
    repetitions: dict[str, LeftOut] = field(default_factory=dict)
    """What hygiene left out, by the id it would have."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows by the reason why they are not kept."""
    findings: dict[str, Counter[str]] = field(default_factory=dict)
    """Places with personal data by kind, by the id of each prompt that is kept with any."""
    rows: int = 0
    pairs: int = 0

    @property
    def dropped(self) -> list[Counter[str]]:
        """Places with personal data by kind, of each row that was left out for it."""
        return list(self.source.screen.dropped.values()) if self.source.screen else []

    @property
    def personal_data(self) -> dict[str, int]:
        """Places with personal data, by kind."""
        found = sum([*self.findings.values(), *self.dropped], Counter[str]())
        return dict(sorted(found.items()))

    def facts(self) -> Iterator[list[Record]]:
        """The second reading: what is written, first to last, in groups that belong together."""
        yield [self.importer.config, self.importer.model]
        labels: defaultdict[str, Labels] = defaultdict(dict)
        for prompt, examples in _by_prompt(self.importer, self.source.examples()):
            if prompt.id not in self.prompts:
                continue
            facts = list(self.importer.facts(prompt, examples))
            yield facts
            for candidate_id, label, judgement in labelled(facts):
                labels[prompt.id].setdefault(candidate_id, {})[label] = judgement.id
        for prompt_id, of_prompt in labels.items():
            yield list(self.importer.matched_labels(prompt_id, of_prompt))
        yield list(self._ended())

    def _ended(self) -> Iterator[Record]:
        """That all was written, and what was not."""
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
    source: Source,
    name: str,
    holdout: float,
    hygiene: HygieneSettings,
    tombstones: Collection[str] = (),
) -> Account:
    """The first reading of a source.

    Args:
        source: What is read, and how.
        name: Under which it is kept.
        holdout: Share of the prompts that are held out.
        hygiene: Which repetitions are left out; imports have no users to count by.
        tombstones: Ids of prompts that must not come back.

    Raises:
        DataFileError: If a row cannot be read, or there is none to keep.
        ConfigError: If personal data cannot be looked for.
    """
    found = Survey()
    begun = Importer(name, "preference", "", holdout, source.scale)
    account = Account(source, begun, found)
    has_rules = hygiene != HygieneSettings()
    prompts: dict[str, Prompt | None] = {}
    rows: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    labels: defaultdict[str, Labels] = defaultdict(dict)
    for prompt, examples in _by_prompt(begun, survey(source, found)):
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
    account.repetitions = left_out(compared, {}, hygiene)
    account.prompts = prompts.keys() - account.repetitions.keys() - account.deleted
    account.findings = {id: k for id, k in account.findings.items() if id in account.prompts}
    of_deleted = sum(rows[id] for id in account.deleted)
    account.left_out = found.left_out + Counter({"of prompts that a user had deleted": of_deleted})
    for id, left in account.repetitions.items():
        account.left_out[str(left.reason)] += rows[id]
    account.rows = sum(rows[id] for id in account.prompts)
    account.pairs = sum(pairs[id] + len(matched(labels[id])) for id in account.prompts)
    digest = found.digest
    if account.repetitions:
        digest = content_id(digest, sorted(account.repetitions))
    account.importer = Importer(name, found.form, digest, holdout, source.scale)
    return account


def _by_prompt(
    importer: Importer, examples: Iterable[Example]
) -> Iterator[tuple[Prompt, list[Example]]]:
    """Rows with their prompt, one by one; demonstrations with all others that it has."""
    of_prompt: dict[str, list[Example]] = {}
    for example in examples:
        if example.form == "sft":
            of_prompt.setdefault(importer.prompt(example).id, []).append(example)
        else:
            yield importer.prompt(example), [example]
    for shown in of_prompt.values():
        yield shown_to(importer, shown), shown


def _are_deleted(
    importer: Importer, prompt: Prompt, examples: list[Example], tombstones: Collection[str]
) -> bool:
    """Whether a user had the prompt deleted, before or after its personal data was masked."""
    if not tombstones:
        return False
    as_read = [example.as_read for example in examples]
    before = {kept.id for kept, _ in _by_prompt(importer, as_read)}
    return bool(before.union({prompt.id}).intersection(tombstones))


def rows_in(facts: Iterable[Record]) -> int:
    return sum(isinstance(fact, ImportedRow) for fact in facts)
