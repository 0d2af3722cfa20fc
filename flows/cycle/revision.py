"""The model that a config names to revise answers."""

from judges import Ledger
from judges.language_model.model import LanguageModel, LanguageModelOptions
from judges.language_model.principles import read_constitution
from judges.language_model.revision import Reviser
from judges.panel.judge import REMOTE_PREFIX
from rlhf_core.config.tree import RevisionSettings


def build_reviser(settings: RevisionSettings, ledger: Ledger) -> Reviser:
    """Return the reviser of the settings, before its model is loaded.

    Raises:
        InputError: If its model or constitution is missing.
    """
    options: dict[str, object] = {"model": settings.model}
    if settings.endpoint is not None:
        options = settings.endpoint.model_dump()
        options["model"] = REMOTE_PREFIX + settings.endpoint.model.removeprefix(REMOTE_PREFIX)
    model = LanguageModel(LanguageModelOptions.model_validate(options), ledger)
    model.check()
    return Reviser(
        model,
        read_constitution(settings.constitution),
        settings.max_new_tokens,
        settings.max_critique_tokens,
    )
