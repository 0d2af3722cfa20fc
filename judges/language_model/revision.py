"""Critique and revision: a model improves its own answers by principles of a constitution.

The supervised stage of Constitutional AI (arXiv:2212.08073, section 3): answer → critique →
revision, in rounds, with a principle drawn for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from judges.language_model.choice import ModelReply
from judges.language_model.fence import FencedPrompt, fill_for_prompt, load_template
from judges.language_model.model import LanguageModel
from judges.language_model.principles import Constitution, Principle
from rlhf_core.identity import content_id
from rlhf_core.records import Prompt

CRITIQUE, REVISION = load_template("critique"), load_template("revision")
CRITIQUE_EXAMPLE = load_template("critique_example")
REVISION_EXAMPLE = load_template("revision_example")


@dataclass(frozen=True)
class Draft:
    """An answer to revise."""

    prompt: Prompt
    text: str


@dataclass(frozen=True)
class Round:
    """One round of critique and revision of a draft."""

    principle: Principle
    critique: ModelReply
    revision: ModelReply


class Reviser:
    """Revises drafts, one round at a time.

    Args:
        model: The model that criticises and rewrites.
        constitution: The principles to draw from.
        max_tokens: Most tokens of an answer.
        max_critique_tokens: Most tokens of a critique.
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
        """Hash of everything that decides a revision, except its draft."""
        return content_id(
            self.model.options.model,
            [self.max_tokens, self.max_critique_tokens],
            self.constitution.model_dump(mode="json"),
            [CRITIQUE, REVISION, CRITIQUE_EXAMPLE, REVISION_EXAMPLE],
        )

    def answer(self, prompts: Sequence[Prompt]) -> list[ModelReply]:
        """Return the first answers, which later rounds revise."""
        return self.model.answer([prompt.conversation for prompt in prompts], self.max_tokens)

    def revise(self, drafts: Sequence[Draft], number: int) -> list[Round]:
        """Criticise and revise all drafts once.

        Args:
            drafts: The answers so far.
            number: Number of the round, from 1; each round draws other principles.
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
        return [Round(*parts) for parts in zip(principles, critiques, revisions, strict=True)]

    def _critique(self, draft: Draft, principle: Principle) -> FencedPrompt:
        return fill_for_prompt(
            CRITIQUE,
            draft.prompt,
            shows_reference=False,
            answer=draft.text,
            critique_request=principle.critique,
            example=self._example(CRITIQUE_EXAMPLE),
        )

    def _revision(self, draft: Draft, principle: Principle, critique: str) -> FencedPrompt:
        return fill_for_prompt(
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
