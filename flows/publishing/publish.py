"""Publish the present champion to every target that does not have it yet."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flows.champion.folder import present_champion
from flows.champion.history import describe_champion
from flows.publishing.release import PublishError, Release
from flows.service.events import Event
from rlhf_core.config import Config
from rlhf_core.identity import content_id
from rlhf_core.records import Publication
from rlhf_core.store import Store

logger = logging.getLogger(__name__)

Target = Callable[[Release], str]
"""Publishes a champion, and returns what was done, in words."""


def publish_champion(config: Config, store: Store, folder: Path | None) -> list[Publication]:
    """Publish the champion of a line to the targets that do not have it yet.

    A failure is stored and logged, and raises nothing: the promotion stands, and the next run tries
    again.

    Args:
        config: Config of the line.
        store: Store with the line's decisions.
        folder: The champion's folder; None if there is none.

    Returns:
        What was tried, which is stored.
    """
    targets, model = targets_of(config), present_champion(store, config.name)
    if not targets or model is None:
        return []
    (change,) = store.query(
        "SELECT id FROM champion_changes WHERE line = ? "
        "ORDER BY after_cycle DESC, number DESC LIMIT 1",
        [config.name],
    )
    where = "change_id = ? AND published"
    done = {each.target for each in store.rows(Publication, where, [change["id"]])}
    facts = describe_champion(store, config.name, config.promotion)
    release = Release(config.name, model.id, facts, folder)
    tried = []
    for name, target in targets.items():
        if name not in done:
            published, detail = _try(target, release)
            publication = Publication(
                line=config.name,
                target=name,
                model_id=model.id,
                change_id=change["id"],
                attempt=store.run_id,
                published=published,
                detail=detail,
            )
            store.append([publication])  # at once: a kill repeats one target at the most
            tried.append(publication)
            told = logger.info if published else logger.warning
            told("publish: %s to %s: %s", model.id, name, detail)
    return tried


def announcement_of(tried: Publication) -> tuple[Event, dict[str, str]]:
    """Return the event of an attempt to publish, and its facts."""
    event = Event.CHAMPION_PUBLISHED if tried.published else Event.PUBLICATION_FAILED
    return event, {"policy": tried.model_id, "target": tried.target, "detail": tried.detail}


def targets_of(config: Config) -> dict[str, Target]:
    """Return what a config publishes to, by names that hold no secret."""
    settings = config.service.publish
    targets: dict[str, Target] = {}
    if settings.hub is not None:
        from flows.publishing.hub import push

        targets[f"hub {settings.hub.repository}"] = partial(push, settings.hub)
    if settings.mlflow is not None:
        from flows.publishing.mlflow_registry import register

        targets[f"mlflow {settings.mlflow.model}"] = partial(register, settings.mlflow)
    if settings.vllm is not None:
        from flows.publishing.vllm import replace_adapter

        targets[f"vllm {content_id(settings.vllm.url)[:8]}"] = partial(
            replace_adapter, settings.vllm
        )
    if settings.webhook is not None:
        from flows.publishing.webhook import call_webhook

        targets[f"webhook {content_id(settings.webhook.url)[:8]}"] = partial(
            call_webhook, settings.webhook
        )
    return targets


def _try(target: Target, release: Release) -> tuple[bool, str]:
    """Return True if a target took a champion, and what was done or went wrong, in words."""
    try:
        return True, target(release)
    except PublishError as error:
        return False, str(error)
    except Exception as error:  # whatever a library raises must not undo a promotion
        logger.debug("publish", exc_info=True)
        return False, f"failed unexpectedly ({type(error).__name__})"
