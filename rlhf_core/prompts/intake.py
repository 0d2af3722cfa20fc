"""From the rows of a source to the prompts that are kept, and an account of what is not.

In this order: deleted prompts stay away, personal data is counted, masked or dropped, prompts that
are alike become one, and repetitions are left out. The order of the rows does not matter.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.prompts.hygiene import LeftOut, left_out
from rlhf_core.prompts.privacy import masked
from rlhf_core.prompts.reading import Asked, asked_prompts
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

ACTIONS = {"count": "counted", "mask": "masked", "drop": "dropped"}
Tombstones = Collection[tuple[str, str]]
"""Prompt id and hash of the user who had it deleted."""


@dataclass
class Intake:
    """The prompts of a source as they are used, and what became of the others."""

    settings: PromptSettings
    prompts: list[Prompt] = field(default_factory=list)
    users: dict[str, set[str]] = field(default_factory=dict)
    """Who sent each prompt, by its id; only those with a user."""
    repetitions: dict[str, LeftOut] = field(default_factory=dict)
    """What hygiene left out, by the id it would have."""
    findings: dict[str, Counter[str]] = field(default_factory=dict)
    """Places with personal data by kind, by the id of each prompt that has any and is kept."""
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    """The same of each prompt that was dropped for it."""
    deleted: set[str] = field(default_factory=set)
    """Prompts that users had deleted."""

    @property
    def prompt_set(self) -> PromptSet:
        return PromptSet(
            source=self.settings.path, prompt_ids=tuple(prompt.id for prompt in self.prompts)
        )

    @property
    def left_out(self) -> dict[str, int]:
        """How many were left out for each reason; reasons without any are not named."""
        reasons = Counter(str(left.reason) for left in self.repetitions.values())
        others = {"personal_data": len(self.dropped), "deleted": len(self.deleted)}
        return {reason: count for reason, count in {**others, **reasons}.items() if count}

    @property
    def personal_data(self) -> dict[str, int]:
        """Places with personal data, by kind."""
        return dict(sorted(_sum([*self.findings.values(), *self.dropped.values()]).items()))

    def records(self) -> list[Record]:
        """All there is to keep of it."""
        found = self.prompt_set
        action = ACTIONS.get(self.settings.privacy.policy, "")
        return [
            *self.prompts,
            found,
            *(
                PromptUser(prompt_id=prompt_id, user_id=user_id)
                for prompt_id, users in self.users.items()
                for user_id in sorted(users)
            ),
            *(
                PromptRemoval(
                    prompt_set_id=found.id, prompt_id=id, reason=left.reason, kept_id=left.kept_id
                )
                for id, left in self.repetitions.items()
            ),
            *(
                PrivacyFinding(
                    prompt_set_id=found.id,
                    source=found.source,
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
                    prompt_set_id=found.id,
                    source=found.source,
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
        settings: Where it is and what is to become of it.
        tombstones: What must not come back.
        hashes: By which tombstones are told apart; where one's key is not among them, its prompt
            stays away whoever sends it.

    Raises:
        DataFileError: If the source is missing or broken, or no prompt is left of it.
        ConfigError: If personal data cannot be looked for.
    """
    intake = Intake(settings)
    prompts: dict[str, Prompt] = {}
    splits: defaultdict[str, set[Split]] = defaultdict(set)
    users: defaultdict[str, set[str]] = defaultdict(set)
    tombs = _by_prompt(tombstones)
    for asked in asked_prompts(settings):
        prompt = _without_personal_data(asked.prompt, settings, intake)
        if prompt is None:
            continue
        if _is_deleted(asked, prompt, tombs, hashes or UserHashes()):
            intake.deleted.add(prompt.id)
            continue
        prompts.setdefault(prompt.id, prompt)
        if asked.user_id is None:
            splits[prompt.id].add(prompt.split)
        else:
            splits[prompt.id].add(split_of_user(asked.user_id, settings.holdout))
            users[prompt.id].add(asked.user_id)
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
    out |= left_out(staying, users, intake.settings.hygiene)
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


def _without_personal_data(prompt: Prompt, source: PromptSettings, intake: Intake) -> Prompt | None:
    """The prompt as it may be kept, None where it may not be; what was found is counted."""
    settings = source.privacy
    if settings.policy == "off":
        return prompt
    texts = [prompt.text, prompt.context or "", *prompt.reference_answers]
    looked_through = [masked(text, settings) for text in texts]
    kinds = _sum(kinds for _, kinds in looked_through)
    if not kinds:
        return prompt
    if settings.policy == "drop":
        intake.dropped[prompt.id] = kinds
        return None
    if settings.policy == "mask":
        text, context, *references = [text for text, _ in looked_through]
        prompt = Prompt(
            text=text,
            context=context or None,
            mode=prompt.mode,
            reference_answers=tuple(references),
            split=split_of(text, context or None, source.holdout),
        )
    # Rows that became the same prompt count once, as the one with the most.
    intake.findings[prompt.id] = kinds | intake.findings.get(prompt.id, Counter())
    return prompt


def _sum(found: Iterable[Counter[str]]) -> Counter[str]:
    return sum(found, Counter())


def _by_prompt(tombstones: Tombstones) -> dict[str, set[str]]:
    users: defaultdict[str, set[str]] = defaultdict(set)
    for prompt_id, user in tombstones:
        users[prompt_id].add(user)
    return users


def _is_deleted(
    asked: Asked, prompt: Prompt, tombs: dict[str, set[str]], hashes: UserHashes
) -> bool:
    """Whether a user had it deleted, before or after its personal data was masked."""
    users = tombs.get(asked.prompt.id, set()) | tombs.get(prompt.id, set())
    return bool(users) and (asked.user_id is None or hashes.may_be(asked.user_id, users))
