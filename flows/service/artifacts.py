"""Artifacts of a line on a Prefect server: the result of each stage, its progress, its assets.

Keys are the same in every cycle, so the server shows their history. The store keeps all of it, so
trouble with the server costs a warning. A server that a run started for itself alone shows nothing.
"""

import base64
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.assets import Asset, AssetProperties, materialize
from prefect.cache_policies import NO_CACHE

from flows.service.prefect_server import WITHOUT_EVENTS
from flows.terminal.logs import Origin, current_origin
from flows.terminal.progress import Advance, duration
from rlhf_core.store import Store, line_queries

logger = logging.getLogger(__name__)

UPDATE_SECONDS = 5.0
"""Time between two updates of a progress artifact, and before its first."""
CURVES = ("loss", "accuracy", "score", "kl")
"""Metrics that are plotted, of those that a training has."""
ASSETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ingest": ("prompts", ()),
    "train_sft": ("sft-model", ("prompts",)),
    "sample": ("candidates", ("prompts", "sft-model")),
    "judge": ("judgements", ("candidates",)),
    "pair": ("pairs", ("judgements",)),
    "train_reward": ("reward-model", ("pairs", "sft-model")),
    "train_policy": ("policy", ("prompts", "reward-model", "sft-model")),
    "promote": ("champion", ("policy",)),
}
"""The asset that a stage adds to, and those that it is made from."""


def show_stage(
    stage: Origin, store: Store, detail: Mapping[str, Any], seconds: float, report: Path
) -> None:
    """Show a stage that ended: its counts and curves, and the asset that it added to.

    Args:
        stage: The stage, with its line and cycle.
        store: Store with the metrics of its training.
        detail: Counts, names and reasons of its result.
        seconds: Time that it took.
        report: The cycle's page, which may not be there yet.
    """
    if WITHOUT_EVENTS in os.environ:
        return
    with _trouble_is_a_warning(f"the artifact of {stage.stage}"):
        title = f"{stage.line}, cycle {stage.cycle}: {stage.stage}"
        parts = [f"**{title}** ({duration(seconds)})", _table(detail), _curves(store, detail)]
        if report.exists():
            parts.append(f"[report]({report.resolve().as_uri()})")
        create_markdown_artifact(
            "\n\n".join(part for part in parts if part),
            key=key_of(stage.line, stage.stage),
            description=title,
        )
        if stage.stage in ASSETS and detail.get("promoted", True):
            _materialize(stage, detail)


@contextmanager
def show_progress(label: str, total: int) -> Iterator[Advance]:
    """Show the progress of long work of a run, updated every UPDATE_SECONDS.

    Args:
        label: Name of the work.
        total: Units of work.

    Yields:
        The function that advances it.
    """
    done, ended = 0, threading.Event()
    origin = current_origin()

    def advance(count: int, note: str) -> None:
        nonlocal done
        done += count

    def update() -> None:
        shown: UUID | None = None
        with _trouble_is_a_warning(f"the progress of {label}"):
            while not ended.wait(UPDATE_SECONDS):
                if shown is None:
                    title = f"{origin.line}, cycle {origin.cycle}: {label}"
                    key = key_of(origin.line, f"{label}-progress")
                    shown = create_progress_artifact(percent(), key, title)  # type: ignore[assignment]
                else:
                    update_progress_artifact(shown, percent())
            if shown is not None:
                update_progress_artifact(shown, percent())

    def percent() -> float:
        return 100.0 * done / total

    # In a copy of the context, which knows the run that the artifact belongs to.
    context = copy_context()
    updater = threading.Thread(target=lambda: context.run(update), name="progress", daemon=True)
    updater.start()
    try:
        yield advance
    finally:
        ended.set()
        updater.join()


def key_of(line: str, name: str) -> str:
    """Return the key of an artifact: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{line}-{name}".lower()).strip("-")


def _table(detail: Mapping[str, Any]) -> str:
    if not detail:
        return ""
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in detail.items()]
    return "\n".join(["| figure | value |", "|---|---|", *rows])


def _cell(value: object) -> str:
    """Return a value as text that opens no other cell, no line and no element of a page."""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return " ".join(text.replace("<", "&lt;").replace("|", "\\|").split())


def _curves(store: Store, detail: Mapping[str, Any]) -> str:
    """Return the curves of the model that a stage trained, as pictures inside the text."""
    if "model" not in detail:
        return ""
    from flows.charts import svg  # imports matplotlib, which takes its time

    metrics = line_queries.metrics_of(store, str(detail["model"]))
    pictures = []
    for name in CURVES:
        if len(metrics.get(name, ())) > 1:
            picture = base64.b64encode(svg.line(metrics[name], name).encode()).decode()
            pictures.append(f"![{name}](data:image/svg+xml;base64,{picture})")
    return " ".join(pictures)


def _materialize(stage: Origin, detail: Mapping[str, Any]) -> None:
    """Record on the server that a stage added to an asset of the line, and from which others."""
    name, origins = ASSETS[stage.stage]
    asset = _asset(stage.line, name)

    @materialize(
        asset,
        by="solon",
        name=f"{stage.line} {name}",
        asset_deps=[_asset(stage.line, origin) for origin in origins],
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def record() -> None:
        asset.add_metadata({"cycle": stage.cycle, "run": stage.run, **detail})

    record()


def _asset(line: str, name: str) -> Asset:
    return Asset(key=f"solon://{line}/{name}", properties=AssetProperties(name=f"{line}: {name}"))


@contextmanager
def _trouble_is_a_warning(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the store has it all, and the run goes on
        reason = " ".join(str(error).split()) or type(error).__name__
        logger.warning("the Prefect server does not show %s: %s", what, reason)
