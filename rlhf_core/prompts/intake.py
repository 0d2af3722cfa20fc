"""Intake of a source: the prompts that are kept, and the reasons why others are not.

The steps are, in this order: personal data is counted, masked or dropped; deleted prompts stay
deleted; equal prompts become one; repetitions are left out. The order of the rows does not matter.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.files.dialogues import text_of
from rlhf_core.prompts.hygiene import LeftOut, find_removals
from rlhf_core.prompts.privacy import mask_personal_data
from rlhf_core.prompts.reading import SentPrompt, read_sent_prompts
from rlhf_core.prompts.users import UserHashes
from rlhf_core.records import (
    PrivacyFinding,
    Prompt,
    PromptRemoval,
    PromptSet,
    PromptUser,
    Record,
    Removal,
    Split,
    split_of,
    split_of_user,
)
from rlhf_core.records.conversation import USER, from_json, opening_of, to_json, with_texts
from rlhf_core.records.rubric import rubric_from_json, rubric_to_json

ACTIONS = {"count": "counted", "mask": "masked", "drop": "dropped"}
Tombstones = Collection[tuple[str, str]]
"""Pairs of a prompt id and the hash of the user who had the prompt deleted."""


@dataclass
class Intake:
    """The kept prompts of a source, and what happened to the others."""

    settings: PromptSettings
    prompts: list[Prompt] = field(default_factory=list)
    users: dict[str, set[str]] = field(default_factory=dict)
    """Users who sent each prompt, by prompt id; prompts without a user are absent."""
    topics: dict[str, str] = field(default_factory=dict)
    """Topic of each prompt that has one, by its id."""
    repetitions: dict[str, LeftOut] = field(default_factory=dict)
    """Prompts that hygiene left out, by the id they would have."""
    findings: dict[str, Counter[str]] = field(default_factory=dict)
    """Places with personal data by kind, for each kept prompt that has any, by its id."""
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    """The same for each prompt that was dropped because of it."""
    deleted: set[str] = field(default_factory=set)
    """Ids of prompts that users had deleted."""

    @property
    def prompt_set(self) -> PromptSet:
        return PromptSet(
            source=self.settings.path, prompt_ids=tuple(prompt.id for prompt in self.prompts)
        )

    @property
    def left_out(self) -> dict[str, int]:
        """Number of prompts left out, by reason; reasons without any are absent."""
        reasons = Counter(str(left.reason) for left in self.repetitions.values())
        others = {"personal_data": len(self.dropped), "deleted": len(self.deleted)}
        return {reason: count for reason, count in {**others, **reasons}.items() if count}

    @property
    def personal_data(self) -> dict[str, int]:
        """Number of places with personal data, by kind."""
        return dict(sorted(_sum([*self.findings.values(), *self.dropped.values()]).items()))

    def records(self) -> list[Record]:
        """Return every record to store."""
        prompt_set = self.prompt_set
        action = ACTIONS.get(self.settings.privacy.policy, "")
        return [
            *self.prompts,
            prompt_set,
            *(
                PromptUser(prompt_id=prompt_id, user_id=user_id)
                for prompt_id, users in self.users.items()
                for user_id in sorted(users)
            ),
            *(
                PromptRemoval(
                    prompt_set_id=prompt_set.id,
                    prompt_id=id,
                    reason=left.reason,
                    kept_id=left.kept_id,
                )
                for id, left in self.repetitions.items()
            ),
            *(
                PrivacyFinding(
                    prompt_set_id=prompt_set.id,
                    source=prompt_set.source,
                    kind=kind,
                    action=action,
                    prompt_id=prompt_id,
                    spans=spans,
                )
                for prompt_id, kinds in self.findings.items()
                for kind, spans in kinds.items()
            ),
            *(
                PrivacyFinding(
                    prompt_set_id=prompt_set.id,
                    source=prompt_set.source,
                    kind=kind,
                    action=action,
                    spans=spans,
                    prompts=sum(kind in kinds for kinds in self.dropped.values()),
                )
                for kind, spans in _sum(self.dropped.values()).items()
            ),
        ]


def read_prompts(
    settings: PromptSettings, tombstones: Tombstones = (), hashes: UserHashes | None = None
) -> Intake:
    """Read a source.

    Args:
        settings: The source, and the rules for what is kept.
        tombstones: Deleted prompts, which must not return.
        hashes: Keys that match tombstones to users; a prompt whose tombstone has another key stays
            deleted whoever sends it.

    Returns:
        The kept prompts, and the reasons for the others.

    Raises:
        DataFileError: If the source is missing or broken, or no prompt remains.
        ConfigError: If the packages that detect personal data are not installed.
    """
    intake = Intake(settings)
    prompts: dict[str, Prompt] = {}
    splits: defaultdict[str, set[Split]] = defaultdict(set)
    users: defaultdict[str, set[str]] = defaultdict(set)
    deleted_by = _by_prompt(tombstones)
    for sent in read_sent_prompts(settings):
        prompt = _without_personal_data(sent.prompt, settings, intake)
        if prompt is None:
            continue
        if _is_deleted(sent, prompt, deleted_by, hashes or UserHashes()):
            intake.deleted.add(prompt.id)
            continue
        prompts.setdefault(prompt.id, prompt)
        if sent.topic is not None:
            _add_topic(intake, prompt, sent.topic)
        if sent.user_id is None:
            splits[prompt.id].add(prompt.split)
        else:
            splits[prompt.id].add(split_of_user(sent.user_id, settings.holdout))
            users[prompt.id].add(sent.user_id)
    _keep(intake, prompts, splits, users)
    return intake


def _keep(
    intake: Intake,
    prompts: dict[str, Prompt],
    splits: dict[str, set[Split]],
    users: dict[str, set[str]],
) -> None:
    out = {id: LeftOut(Removal.BOTH_SPLITS) for id, sides in splits.items() if len(sides) > 1}
    staying = [prompt for prompt in prompts.values() if prompt.id not in out]
    out |= find_removals(staying, users, intake.settings.hygiene)
    intake.repetitions = out
    intake.prompts = [
        prompt.model_copy(update={"split": next(iter(splits[prompt.id]))})
        for prompt in staying
        if prompt.id not in out
    ]
    if not intake.prompts and not intake.left_out:
        raise DataFileError(f"{intake.settings.path} holds no prompt")
    if not intake.prompts:
        raise DataFileError(
            f"{intake.settings.path}: every prompt was left out ({intake.left_out}); loosen "
            "prompts.hygiene or prompts.privacy"
        )
    kept = {prompt.id for prompt in intake.prompts}
    intake.users = {id: senders for id, senders in users.items() if id in kept}
    intake.findings = {id: kinds for id, kinds in intake.findings.items() if id in kept}
    intake.topics = {id: topic for id, topic in intake.topics.items() if id in kept}


def _add_topic(intake: Intake, prompt: Prompt, topic: str) -> None:
    known = intake.topics.setdefault(prompt.id, topic)
    if known != topic:
        raise DataFileError(
            f"{intake.settings.path}: the prompt {prompt.text[:60]!r} has the topics {known!r} and "
            f"{topic!r}; give it one"
        )


def _without_personal_data(prompt: Prompt, source: PromptSettings, intake: Intake) -> Prompt | None:
    """Return the prompt as it may be kept, None if it is dropped; count the findings."""
    settings = source.privacy
    if settings.policy == "off":
        return prompt
    kinds: Counter[str] = Counter()

    def masked(text: str) -> str:
        safe, counts = mask_personal_data(text, settings)
        kinds.update(counts)
        return safe

    safe = _with_texts(prompt, masked, source.holdout)
    if not kinds:
        return prompt
    if settings.policy == "drop":
        intake.dropped[prompt.id] = kinds
        return None
    if settings.policy == "mask":
        prompt = safe
    # Rows that became the same prompt count once, with the most findings of any of them.
    intake.findings[prompt.id] = kinds | intake.findings.get(prompt.id, Counter())
    return prompt


def _with_texts(prompt: Prompt, change: Callable[[str], str], holdout: float) -> Prompt:
    """Return a prompt with `change` applied to each of its texts, those of messages one by one."""
    messages = with_texts(from_json(prompt.messages), change)
    few_shot = with_texts(from_json(prompt.few_shot), change)
    text = text_of(messages, USER).strip() if messages else change(prompt.text)
    context = change(prompt.context) if prompt.context else None
    criteria = [replace(one, text=change(one.text)) for one in rubric_from_json(prompt.rubric)]
    changed = {
        "text": text,
        "context": context,
        "reference_answers": tuple(map(change, prompt.reference_answers)),
        "messages": to_json(messages) if messages else None,
        "rubric": rubric_to_json(criteria) if criteria else None,
        "few_shot": to_json(few_shot) if few_shot else None,
        "split": split_of(opening_of(messages).strip() if messages else text, context, holdout),
    }
    return Prompt(**{**prompt.model_dump(), **changed})


def _sum(counts: Iterable[Counter[str]]) -> Counter[str]:
    return sum(counts, Counter())


def _by_prompt(tombstones: Tombstones) -> dict[str, set[str]]:
    users: defaultdict[str, set[str]] = defaultdict(set)
    for prompt_id, user in tombstones:
        users[prompt_id].add(user)
    return users


def _is_deleted(
    sent: SentPrompt, prompt: Prompt, deleted_by: dict[str, set[str]], hashes: UserHashes
) -> bool:
    """Return True if a user had the prompt deleted, before or after masking."""
    users = deleted_by.get(sent.prompt.id, set()) | deleted_by.get(prompt.id, set())
    return bool(users) and (sent.user_id is None or hashes.may_match(sent.user_id, users))
