"""`solon forget`: one user's prompts and all that came from them, deleted for good."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.screen import AsJson, Overrides, print_json, print_table

if TYPE_CHECKING:
    from rlhf_core.store.forgetting import Forgetting


def forget(
    user: Annotated[str, typer.Argument(help="A user id, as it stands in prompt_users.")],
    overrides: Overrides = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Whose store; runs/solon.duckdb if none.")
    ] = None,
    is_certain: Annotated[
        bool, typer.Option("--yes", help="Delete. Without it, only say what would be deleted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a user's prompts and all that came from them, and say which models learnt from it.

    Prompts that other users sent too stay, without this user. All else goes: candidates, responses,
    judgements, rankings, pairs, rollouts, revisions and what people said of them; then the database
    and its snapshot are written anew, so that the bytes leave the files. Reading the same prompts
    again does not bring them back.

    What stays: weights and reports, which are listed, the file the prompts were read from, copies
    and backups; and, in the table deletions, a hash of the user id by a key, which keeps the
    prompts away when they are read again. The key is SOLON_USER_KEY where that is set, else the
    file *.user-key beside the store, which is made now: keep it, and give it to nobody. Stop runs
    first: one that goes on could write again what it has in memory; [bold]forget[/bold] once more
    deletes that too.

    A lake loses its former snapshots with it, and its catalog is written anew. Not in reach are
    PostgreSQL's write-ahead log and statistics, versions that a bucket keeps, and the copies for
    auditors of other machines, which are replaced when somebody asks there.

    See what it would do with [bold]solon forget user-17 --config CONFIG[/bold], then add --yes.
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
    found = plan_forgetting(store, user)
    pages = pages_showing(found.texts, artifacts_path(config, overrides or []))
    if not as_json:
        _print(found, pages)
    if is_certain:
        found = forget_user(store, user)
    if as_json:
        print_json(_as_json(found, pages, is_certain))
    else:
        typer.echo("deleted" if is_certain else "nothing is deleted yet; add --yes to do so")


def pages_showing(texts: tuple[str, ...], artifacts: Path) -> list[Path]:
    """The reports in which one of the texts stands."""
    from markupsafe import escape

    shown = [str(escape(text)) for text in texts]
    pages = sorted((artifacts / "reports").rglob("*.html"))
    return [page for page in pages if _holds(page.read_text(encoding="utf-8"), shown)]


def _holds(page: str, texts: list[str]) -> bool:
    return any(text in page for text in texts)


def _print(found: "Forgetting", pages: list[Path]) -> None:
    rows = [*found.rows.items(), ("prompt_sets, made shorter", found.prompt_sets)]
    print_table(["table", "rows"], rows)
    if found.shared_prompts:
        typer.echo(f"{found.shared_prompts} prompts stay, because other users sent them too")
    for title, things in (
        ("models that learnt from it, directly or through another; train them anew", found.models),
        ("reports that show it; delete them, or write them again with `solon report`", pages),
        ("files of killed writers that hold it; delete them by hand", found.left_files),
    ):
        if things:
            typer.echo(f"{title}:")
            for thing in things:
                typer.echo(f"  {thing}")


def _as_json(found: "Forgetting", pages: list[Path], is_done: bool) -> dict[str, Any]:
    plan = {key: value for key, value in asdict(found).items() if key != "texts"}
    return {**plan, "reports": [str(page) for page in pages], "is_deleted": is_done}
