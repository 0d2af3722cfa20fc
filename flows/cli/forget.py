"""`solon forget`: delete one user's prompts and everything that came from them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.screen import AsJson, Overrides, print_json, print_table

if TYPE_CHECKING:
    from rlhf_core.store.forgetting import Forgetting


def forget(
    user: Annotated[str, typer.Argument(help="A user id, as in the table prompt_users.")],
    overrides: Overrides = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Config of the store. Default: runs/solon.duckdb."),
    ] = None,
    is_certain: Annotated[
        bool, typer.Option("--yes", help="Delete. Without it, only show what would be deleted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a user's prompts and everything that came from them; list the models that learnt it.

    Prompts that other users sent too stay, without this user. Everything else is deleted:
    candidates, responses, judgements, rankings, pairs, rollouts, revisions and spot checks. Then
    the database and its snapshot are rewritten, so that the bytes leave the files. Ingesting the
    same prompts again does not bring them back.

    These stay: weights and reports, which are listed; the file the prompts were read from; copies
    and backups; and a keyed hash of the user id in the table deletions, which keeps the prompts
    away. The key is SOLON_USER_KEY if set, or else the file *.user-key beside the store, which is
    created now. Keep it, and keep it secret. Stop runs first: a run could write again what it has
    in memory. Running [bold]forget[/bold] once more deletes that too.

    In a lake, former snapshots are deleted too, and the catalog is rewritten. Out of reach are
    PostgreSQL's write-ahead log and statistics, versions that a bucket keeps, and auditors' copies
    on other machines, which are replaced at the next query there.

    Run [bold]solon forget user-17 --config CONFIG[/bold] to see what it would do, then add --yes.
    """
    from rlhf_core.config import artifacts_path, store_path
    from rlhf_core.errors import StoreError
    from rlhf_core.store import Store, store_exists
    from rlhf_core.store.forgetting import forget as forget_user
    from rlhf_core.store.forgetting import plan_forgetting

    path = store_path(config, overrides or [])
    if not store_exists(path):
        raise StoreError(f"no store at {path}; name its config with --config")
    store = Store(path)
    forgetting = plan_forgetting(store, user)
    pages = pages_showing(forgetting.texts, artifacts_path(config, overrides or []))
    if not as_json:
        _print(forgetting, pages)
    if is_certain:
        forgetting = forget_user(store, user)
    if as_json:
        print_json(_as_json(forgetting, pages, is_certain))
    else:
        typer.echo("deleted" if is_certain else "nothing is deleted yet; add --yes to do so")


def pages_showing(texts: tuple[str, ...], artifacts: Path) -> list[Path]:
    """Return the reports that show one of the texts."""
    from markupsafe import escape

    shown = [str(escape(text)) for text in texts]
    pages = sorted((artifacts / "reports").rglob("*.html"))
    return [page for page in pages if _holds(page.read_text(encoding="utf-8"), shown)]


def _holds(page: str, texts: list[str]) -> bool:
    return any(text in page for text in texts)


def _print(forgetting: "Forgetting", pages: list[Path]) -> None:
    rows = [*forgetting.rows.items(), ("prompt_sets, shortened", forgetting.prompt_sets)]
    print_table(["table", "rows"], rows)
    if forgetting.shared_prompts:
        typer.echo(f"{forgetting.shared_prompts} prompts stay, because other users sent them too")
    for title, things in (
        (
            "models that learnt from it, directly or through another; train them anew",
            forgetting.models,
        ),
        ("reports that show it; delete them, or write them again with `solon report`", pages),
        ("files of killed writers that hold it; delete them by hand", forgetting.left_files),
    ):
        if things:
            typer.echo(f"{title}:")
            for thing in things:
                typer.echo(f"  {thing}")


def _as_json(forgetting: "Forgetting", pages: list[Path], is_done: bool) -> dict[str, Any]:
    plan = {key: value for key, value in asdict(forgetting).items() if key != "texts"}
    return {**plan, "reports": [str(page) for page in pages], "is_deleted": is_done}
