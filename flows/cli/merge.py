"""`solon merge`: write a trained model as one folder, plain or as an adapter."""

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.screen import AsJson, ConfigPath, Overrides, load_checked, print_json
from rlhf_core.errors import InputError


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
    as_adapter: Annotated[
        bool, typer.Option("--as-adapter", help="Write one LoRA adapter on policy.model instead.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the base in the adapter's config, such as a hub id. "
            "Default: policy.model.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as one plain folder, which any model server can load.

    A policy is stored as an adapter on its SFT model. This adds the two in fp32, rounds once to
    [bold]compute.precision[/bold], writes safetensors, and reads them back to compare. Models with
    full weights (policy.weights: full) are rounded and written in the same way. In Python:
    [bold]AutoModelForCausalLM.from_pretrained("FOLDER")[/bold].

    [bold]--as-adapter[/bold] joins the adapters of the SFT model and of the policy to one on the
    model that the line began with, for
    [bold]PeftModel.from_pretrained(BASE, "FOLDER")[/bold].

    List models with [bold]solon sql "SELECT id, kind, created_at FROM models"[/bold].
    """
    if base is not None and not as_adapter:
        raise InputError("--base names the base of an adapter; add --as-adapter")
    loaded = load_checked(config, overrides)
    from flows.training.merge import join_model, merge_model

    facts = join_model(loaded, model, out, base) if as_adapter else merge_model(loaded, model, out)
    if as_json:
        print_json(facts)
        return
    size = f"{facts['size_bytes'] / 1e6:,.1f} MB"
    what = (
        f"an adapter of rank {facts['rank']} on {facts['base']}, {size}"
        if as_adapter
        else f"{facts['parameters']:,} parameters in {facts['precision']}, {size}"
    )
    typer.echo(
        f"{facts['model']} written to {facts['folder']}: {what}; read back, it differs by "
        f"{facts['divergence_nats']:.1g} nats a token"
    )
