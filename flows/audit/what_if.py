"""What pairing would make of the judgements in the store if the panel were another one."""

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from flows.audit.panel_changes import Juror, PanelChanges, apply_changes, combination_of, panel_of
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from rlhf_core.evaluation.counterfactual import Change, Comparison, PairChange, Tally, pair_changes
from rlhf_core.preferences.ranking import Preference, comparisons_of, preferences_of
from rlhf_core.preferences.votes import Combination, JudgementRow, Votes
from rlhf_core.records import Mode, Prompt, Split
from rlhf_core.store import Snapshot, reading
from rlhf_core.store.audit.counterfactual import (
    Group,
    Page,
    prompts_with_answers,
    ranked_pages,
    spending,
)


@dataclass(frozen=True)
class Gap:
    """What one judge of the changed panel was never asked. Nothing is assumed of it."""

    judge: str
    judge_version: str
    wanted: int
    """Judgements that ranking these candidates takes."""
    missing: int
    candidates_never_judged: int
    cost_usd: float | None
    """The missing ones at the judge's mean cost so far; None where it never judged."""
    seconds: float | None
    """The same at its mean latency, one after another; None too where it keeps no latency."""


@dataclass(frozen=True)
class Saving:
    """What a judge that leaves has cost so far, over the whole store."""

    judge: str
    judge_version: str
    judgements: int
    cost_usd: float
    seconds: float | None


@dataclass(frozen=True)
class WhatIf:
    """The panel as it is against the changed one."""

    panel: list[Juror]
    changed_panel: list[Juror]
    overall: Comparison
    by_mode: dict[str, Comparison]
    by_split: dict[str, Comparison]
    gaps: list[Gap]
    savings: list[Saving]
    examples: list[dict[str, Any]]
    """Flipped pairs with their words, the surest first."""
    age_seconds: float
    """Of the snapshot that was read."""


Keep = Callable[[dict[str, Any]], Any]
Asked = tuple[str, str | None]
"""Candidate and opponent that a judge was asked about; no opponent where it scores."""


def what_if(
    config: Config,
    changes: PanelChanges,
    examples: int = 0,
    keep: Keep | None = None,
    page_size: int | None = None,
) -> WhatIf:
    """Rank and pair twice, by the panel of the config and by the changed one; write nothing.

    Args:
        config: Whose store and panel.
        changes: To the panel.
        examples: So many flipped pairs are returned with their words.
        keep: Called with every training pair that changes, as it is found.
        page_size: Prompts in memory at once.

    Raises:
        StoreError: If there is no store.
        ConfigError: If a change cannot be made, or this panel ranked nothing yet.
    """
    with reading(config.store) as snapshot:
        panel = panel_of(config)
        other = apply_changes(panel, changes, snapshot)
        study = _Study(snapshot, config, panel, other, examples, keep)
        sizes = () if page_size is None else (page_size,)
        for page in ranked_pages(snapshot, study.before.recipe, study.versions, *sizes):
            study.read(page)
        if not study.has_pages:
            raise ConfigError(
                "the store has no ranking by this config's panel; `solon run CONFIG` makes them"
            )
        return study.outcome()


class _Study:
    """Gathers page by page what becomes of the pairs."""

    def __init__(
        self,
        snapshot: Snapshot,
        config: Config,
        panel: list[Juror],
        other: list[Juror],
        examples: int,
        keep: Keep | None,
    ) -> None:
        self.snapshot, self.panel, self.other = snapshot, panel, other
        self.before = combination_of(panel, config)
        self.after = combination_of(other, config)
        self.versions = {*self.before.weights, *self.after.weights}
        self.has_pages = False
        self._examples, self._keep = examples, keep
        self._tallies: dict[tuple[Mode, Split], Tally] = {}
        self._flipped: list[tuple[float, str, dict[str, Any]]] = []
        self._wanted = {juror.version: [0, 0, 0] for juror in self._deciding()}

    def _deciding(self) -> list[Juror]:
        return [juror for juror in self.other if juror.weight > 0]

    def read(self, page: Page) -> None:
        self.has_pages = True
        scales = {**self.before.scales, **self.after.scales}
        found: list[tuple[str, PairChange]] = []
        for group in page.groups:
            tally = self._tallies.setdefault((group.mode, group.split), Tally())
            votes = Votes(page.said.get(group.prompt_id, ()), scales)
            preferences = [_preferences(group, votes, c) for c in (self.before, self.after)]
            for change in pair_changes(*preferences):
                if tally.add(change, group.prompt_id) is not Change.NONE:
                    found.append((group.prompt_id, change))
        if found and (self._keep or self._examples):
            self._show(found)
        for juror in self._deciding():
            counts = _gap(juror, page)
            so_far = self._wanted[juror.version]
            self._wanted[juror.version] = [a + b for a, b in zip(so_far, counts, strict=True)]

    def _show(self, found: list[tuple[str, PairChange]]) -> None:
        prompts, texts = prompts_with_answers(self.snapshot, {prompt_id for prompt_id, _ in found})
        for prompt_id, change in found:
            words = _in_words(change, prompts[prompt_id], texts)
            if self._keep:
                self._keep(words)
            if change.kind is Change.FLIPPED and self._examples:
                heapq.heappush(self._flipped, (change.size, change.pair.left_id, words))
                if len(self._flipped) > self._examples:
                    heapq.heappop(self._flipped)

    def outcome(self) -> WhatIf:
        stays = {juror.version for juror in self._deciding()}
        leaving = {juror.version: juror for juror in self.panel if juror.weight > 0}.keys() - stays
        by_mode, by_split = _by_name(self._tallies, 0), _by_name(self._tallies, 1)
        return WhatIf(
            panel=self.panel,
            changed_panel=self.other,
            overall=sum(self._tallies.values(), Tally()).comparison(),
            by_mode={name: tally.comparison() for name, tally in by_mode.items()},
            by_split={name: tally.comparison() for name, tally in by_split.items()},
            gaps=[self._gap(juror) for juror in self._deciding()],
            savings=[
                _saving(juror, self.snapshot) for juror in self.panel if juror.version in leaving
            ],
            examples=[words for _, _, words in sorted(self._flipped, reverse=True)],
            age_seconds=self.snapshot.age_seconds,
        )

    def _gap(self, juror: Juror) -> Gap:
        wanted, missing, never = self._wanted[juror.version]
        spent = spending(self.snapshot, juror.version)
        share = missing / spent.judgements if spent.judgements else None
        return Gap(
            judge=juror.judge,
            judge_version=juror.version,
            wanted=wanted,
            missing=missing,
            candidates_never_judged=never,
            cost_usd=None if share is None else share * spent.cost_usd,
            seconds=None if share is None or spent.seconds is None else share * spent.seconds,
        )


def _saving(juror: Juror, snapshot: Snapshot) -> Saving:
    spent = spending(snapshot, juror.version)
    return Saving(juror.judge, juror.version, spent.judgements, spent.cost_usd, spent.seconds)


def _preferences(
    group: Group, votes: Votes[JudgementRow], combination: Combination
) -> list[Preference]:
    """Of every two candidates; none where nothing can be ranked."""
    comparisons = comparisons_of(group.answers, votes, combination)
    if not comparisons:
        return []
    return preferences_of(group.answers, comparisons, combination.tie_margin)


def _by_name(tallies: dict[tuple[Mode, Split], Tally], part: int) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    for names, tally in sorted(tallies.items()):
        found[names[part].value] = found.get(names[part].value, Tally()) + tally
    return dict(sorted(found.items()))


def _gap(juror: Juror, page: Page) -> tuple[int, int, int]:
    """Judgements wanted and missing, and candidates never judged, of the juror's modes."""
    wanted = missing = never = 0
    for group in page.groups:
        if group.mode not in juror.modes:
            continue
        answered = {
            (said.candidate_id, said.opponent_id)
            for said in page.said.get(group.prompt_id, ())
            if said.judge_version == juror.version
        }
        judged = {candidate_id for ids in answered for candidate_id in ids}
        asked = _asked(juror, group.answers)
        wanted += len(asked)
        missing += len(asked) - len(answered.intersection(asked))
        never += len(group.answers) - len(judged.intersection(group.answers))
    return wanted, missing, never


def _asked(juror: Juror, ids: Collection[str]) -> list[Asked]:
    return list(permutations(ids, 2)) if juror.is_pairwise else [(id, None) for id in ids]


def _in_words(change: PairChange, prompt: Prompt, texts: dict[str, str]) -> dict[str, Any]:
    before, after, pair = change.before, change.after, change.pair
    return {
        "change": change.kind.value,
        "prompt_id": prompt.id,
        "mode": prompt.mode.value,
        "split": prompt.split.value,
        "prompt": prompt.instruction,
        "left_id": pair.left_id,
        "right_id": pair.right_id,
        "chosen_before": texts.get(before.chosen_id or "") if before else None,
        "chosen_after": texts.get(after.chosen_id or "") if after else None,
        "left": texts[pair.left_id],
        "right": texts[pair.right_id],
        "margin_before": before.margin if before else None,
        "margin_after": after.margin if after else None,
    }
