"""`solon merge`: write a trained model as one plain folder."""

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.screen import AsJson, ConfigPath, Overrides, load_checked, print_json


def merge(
    config: ConfigPath,
    out: Annotated[Path, typer.Option(help="Folder to write; it must be new or empty.")],
    overrides: Overrides = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="An sft- or policy- id, or its beginning. Default: the line's champion.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as one plain folder, which any model server can load.

    A policy is stored as an adapter on its SFT model. This adds the two in fp32, rounds once to
    [bold]compute.precision[/bold], writes safetensors, and reads them back to compare. Models with
    full weights (policy.weights: full) are rounded and written in the same way. In Python:
    [bold]AutoModelForCausalLM.from_pretrained("FOLDER")[/bold].

    List models with [bold]solon sql "SELECT id, kind, created_at FROM models"[/bold].
    """
    loaded = load_checked(config, overrides)
    from flows.training.merge import merge_model

    facts = merge_model(loaded, model, out)
    if as_json:
        print_json(facts)
    else:
        typer.echo(
            f"{facts['model']} written to {facts['folder']}: {facts['parameters']:,} parameters in "
            f"{facts['precision']}, {facts['size_bytes'] / 1e6:,.1f} MB; read back, it differs by "
            f"{facts['divergence_nats']:.1g} nats a token"
        )
