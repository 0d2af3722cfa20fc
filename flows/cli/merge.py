"""`solon merge`: write a trained model as one plain folder."""

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.screen import AsJson, ConfigPath, Overrides, load_checked, print_json


def merge(
    config: ConfigPath,
    out: Annotated[Path, typer.Option(help="Folder to write; it must be new, or empty.")],
    overrides: Overrides = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="An sft- or policy- id, or how it begins; the line's champion, if none.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as one plain folder, which anything that serves models can load.

    A policy is kept as an adapter on its SFT model. This adds the two in fp32, rounds once to
    [bold]compute.precision[/bold], writes safetensors, and reads them back to compare. Models of
    full weights (policy.weights: full) are rounded and written in the same way. Then, in Python:
    [bold]AutoModelForCausalLM.from_pretrained("FOLDER")[/bold].

    List models with [bold]solon sql "SELECT id, kind, created_at FROM models"[/bold].
    """
    loaded = load_checked(config, overrides)
    from flows.training.merge import merge_model

    found = merge_model(loaded, model, out)
    if as_json:
        print_json(found)
    else:
        typer.echo(
            f"{found['model']} written to {found['folder']}: {found['parameters']:,} parameters in "
            f"{found['precision']}, {found['size_bytes'] / 1e6:,.1f} MB; read back, it differs by "
            f"{found['divergence_nats']:.1g} nats a token"
        )
