"""`solon gc`: what the retention of a line no longer keeps, and its removal."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.screen import (
    AsJson,
    ConfigPath,
    Overrides,
    load_checked,
    prepare_prefect,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from flows.keeping.retention import Artifact, RetentionPlan


def gc(
    config: ConfigPath,
    overrides: Overrides = None,
    is_certain: Annotated[
        bool, typer.Option("--delete", help="Remove. Without it, only show what would be removed.")
    ] = False,
    lists_names: Annotated[
        bool, typer.Option("--list", help="Name every file and folder that is removed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the retention of a line no longer keeps, and remove it with --delete.

    service.retention.keep_cycles says of how many ended cycles everything is kept: models,
    checkpoints, curves, reports and the texts of rollouts. Whatever the cycle, these stay: the
    champion, the policy promoted before it and, unless service.retention.keep_lineage is false, all
    that they rest on; models that another line of the store uses, that judges call or that a config
    names; the cycle under way.

    Facts stay in the store, and each removal is one (artifact_removals). Only the texts of rollouts
    leave it. A run may go on meanwhile.

    Example: [bold]solon gc my.yaml --set service.retention.keep_cycles=5[/bold]
    """
    prepare_prefect()
    from flows.keeping.retention import apply_retention, plan_retention
    from rlhf_core.errors import StoreError
    from rlhf_core.store import store_exists

    checked = load_checked(config, overrides)
    if not store_exists(checked.store):
        raise StoreError(f"no store at {checked.store}: there is nothing to remove")
    plan = apply_retention(checked) if is_certain else plan_retention(checked)
    if as_json:
        print_json({**asdict(plan), "is_removed": is_certain})
    else:
        _print(plan, lists_names, is_certain)


def _print(plan: "RetentionPlan", lists_names: bool, is_done: bool) -> None:
    from flows.keeping.retention import Kind

    removed, kept = _by_kind(plan.removed), _by_kind(plan.kept)
    word = "removed" if is_done else "to remove"
    print_table(
        ["kind", word, "bytes", "kept", "bytes kept"],
        [(kind, *removed[kind], *kept[kind]) for kind in Kind],
    )
    if lists_names:
        for artifact in plan.removed:
            typer.echo(f"{artifact.kind}  cycle {artifact.cycle}  {artifact.name}")
    if plan.others:
        typer.echo(f"{len(plan.others)} files of other lines, or of none, stay")
    if plan.keep_cycles is None:
        typer.echo(
            f"line {plan.line}: all {plan.ended} ended cycles are kept; set "
            "service.retention.keep_cycles to keep fewer"
        )
        return
    bytes_removed = sum(artifact.bytes for artifact in plan.removed)
    typer.echo(
        f"line {plan.line}: everything of the last {plan.keep_cycles} of {plan.ended} ended cycles "
        f"is kept; {len(plan.removed)} things, {bytes_removed:,} bytes {word}"
    )
    if plan.removed and not is_done:
        typer.echo("nothing is removed yet; add --delete to do so")


def _by_kind(artifacts: "Sequence[Artifact]") -> dict[str, tuple[int, str]]:
    """Return number and bytes of the artifacts of each kind."""
    from flows.keeping.retention import Kind

    counts: Counter[str] = Counter(artifact.kind for artifact in artifacts)
    sizes: Counter[str] = Counter()
    for artifact in artifacts:
        sizes[artifact.kind] += artifact.bytes
    return {kind: (counts[kind], f"{sizes[kind]:,}") for kind in Kind}
