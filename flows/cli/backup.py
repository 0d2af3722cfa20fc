"""`solon backup` and `solon restore`: store and artifacts together, as one folder and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.screen import AsJson, Overrides, prepare_prefect, print_json

if TYPE_CHECKING:
    from flows.keeping.manifest import Advance, Manifest

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Config of store and artifacts. Default: those in runs/."),
]


def backup(
    to: Annotated[Path, typer.Argument(help="Folder of the backup; it must not exist.")],
    overrides: Overrides = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Copy store and artifacts into a new folder, consistent with each other, while a run goes on.

    The folder holds every fact, model, checkpoint and report, and a manifest with the hash of each
    file. It is complete or absent, also after a kill. It also holds the key file of deleted users,
    if there is one, so keep it as safe as the store. Configs, files of prompts and secrets in the
    environment are not in it.

    The facts of a lake become one DuckDB file.

    Example: [bold]solon backup /backups/monday --config my.yaml[/bold]
    """
    prepare_prefect()
    from flows.keeping.backup import back_up, size_of
    from rlhf_core.config import artifacts_path, store_path

    store = store_path(config, overrides or [])
    artifacts = artifacts_path(config, overrides or [])
    with _counting("backup", size_of(store, artifacts)) as advance:
        manifest = back_up(store, artifacts, to, advance)
    _print(manifest, f"backed up to {to}", as_json)


def restore(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="Folder of a backup.")],
    overrides: Overrides = None,
    config: ConfigOption = None,
    only_checks: Annotated[
        bool, typer.Option("--check", help="Only check that the backup is whole.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a backup to the store and artifacts that a config names, neither of which may exist.

    Every file is checked against its hash first, and the rows of the store are counted afterwards.
    After an interruption, run the same command again.

    Example: [bold]solon restore /backups/monday --config my.yaml[/bold]
    """
    prepare_prefect()
    from flows.keeping.manifest import check_files, read_manifest
    from flows.keeping.restore import restore as restore_backup
    from rlhf_core.config import artifacts_path, store_path

    manifest = read_manifest(source)
    size = sum(file.bytes for file in manifest.files.values())
    if only_checks:
        with _counting("check", size) as advance:
            check_files(source, manifest, advance)
        _print(manifest, f"{source} is whole", as_json)
        return
    store = store_path(config, overrides or [])
    artifacts = artifacts_path(config, overrides or [])
    with _counting("restore", 2 * size) as advance:
        restore_backup(source, manifest, store, artifacts, advance)
    _print(manifest, f"restored to {store} and {artifacts}", as_json)


@contextmanager
def _counting(label: str, size: int) -> "Iterator[Advance]":
    from flows.terminal.progress import progress

    with progress(f"{label} (MB)", max(1, size // 1_000_000)) as advance:
        total = 0

        def count(read: int) -> None:
            nonlocal total
            before, total = total, total + read
            advance(total // 1_000_000 - before // 1_000_000, "")

        yield count


def _print(manifest: "Manifest", done: str, as_json: bool) -> None:
    rows, size = sum(manifest.rows.values()), sum(file.bytes for file in manifest.files.values())
    if as_json:
        print_json({**manifest.model_dump(exclude={"files", "links"}), "bytes": size})
    else:
        typer.echo(
            f"{done}: {rows:,} rows, {len(manifest.files):,} files, {size:,} bytes, as of "
            f"{manifest.made_at}"
        )
