"""Critique and revision: a model mends its own answers by principles of a constitution.

The supervised stage of Constitutional AI (arXiv:2212.08073, section 3): answer → critique →
revision, in rounds, with a principle drawn for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from judges.language_model.choice import Heard
from judges.language_model.fence import Fenced, fenced, plain, template
from judges.language_model.model import LanguageModel
from judges.language_model.principles import Constitution, Principle
from rlhf_core.identity import content_id
from rlhf_core.records import Prompt

CRITIQUE, REVISION = template("critique"), template("revision")
CRITIQUE_EXAMPLE, REVISION_EXAMPLE = template("critique_example"), template("revision_example")


@dataclass(frozen=True)
class Draft:
    """An answer that is to be mended."""

    prompt: Prompt
    text: str


@dataclass(frozen=True)
class Round:
    """What one round made of a draft."""

    principle: Principle
    critique: Heard
    revision: Heard


class Reviser:
    """Mends drafts, a round at a time.

    Args:
        model: Criticises and rewrites.
        constitution: Where principles are drawn from.
        max_tokens: Length of an answer.
        max_critique_tokens: Length of a critique.
    """

    def __init__(
        self,
        model: LanguageModel,
        constitution: Constitution,
        max_tokens: int,
        max_critique_tokens: int,
    ) -> None:
        self.model, self.constitution = model, constitution
        self.max_tokens, self.max_critique_tokens = max_tokens, max_critique_tokens

    @property
    def version(self) -> str:
        """Hash of all that decides a revision, but for its draft."""
        return content_id(
            self.model.options.model,
            [self.max_tokens, self.max_critique_tokens],
            self.constitution.model_dump(mode="json"),
            [CRITIQUE, REVISION, CRITIQUE_EXAMPLE, REVISION_EXAMPLE],
        )

    def answer(self, prompts: Sequence[Prompt]) -> list[Heard]:
        """First answers, which later rounds mend."""
        return self.model.write([plain(prompt.instruction) for prompt in prompts], self.max_tokens)

    def revise(self, drafts: Sequence[Draft], number: int) -> list[Round]:
        """One round over all drafts.

        Args:
            drafts: Answers so far.
            number: Of the round, from 1; each draws another principle.
        """
        principles = [self.constitution.draw(draft.prompt.id, number) for draft in drafts]
        critiques = self.model.write(
            [self._critique(d, p) for d, p in zip(drafts, principles, strict=True)],
            self.max_critique_tokens,
        )
        revisions = self.model.write(
            [
                self._revision(draft, principle, critique.text or "")
                for draft, principle, critique in zip(drafts, principles, critiques, strict=True)
            ],
            self.max_tokens,
        )
        return [Round(*found) for found in zip(principles, critiques, revisions, strict=True)]

    def _critique(self, draft: Draft, principle: Principle) -> Fenced:
        return fenced(
            CRITIQUE,
            draft.prompt,
            shows_reference=False,
            answer=draft.text,
            critique_request=principle.critique,
            example=self._example(CRITIQUE_EXAMPLE),
        )

    def _revision(self, draft: Draft, principle: Principle, critique: str) -> Fenced:
        return fenced(
            REVISION,
            draft.prompt,
            shows_reference=False,
            answer=draft.text,
            critique=critique,
            revision_request=principle.revise,
            example=self._example(REVISION_EXAMPLE),
        )

    def _example(self, form: str) -> str:
        shown = self.constitution.revision_example
        return form.format(**shown.model_dump()) if shown else ""
