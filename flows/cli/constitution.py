"""`solon constitution`: let a model revise its own answers, outside a cycle."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.progress import console
from flows.terminal.screen import AsJson, ConfigPath, Overrides, prepare_prefect, print_json

if TYPE_CHECKING:
    from flows.cycle.cycle import Cycle
    from rlhf_core.config import Config
    from rlhf_core.records import Prompt, Revision

app = typer.Typer(no_args_is_help=True)


@app.callback()
def constitution() -> None:
    """Let a model criticise and revise its own answers by the principles of a constitution."""


@app.command()
def revise(
    config: ConfigPath,
    overrides: Overrides = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Revisions of each answer. Default: the config's.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write prompt, first answer and last revision as JSON lines."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a model answer the prompts, criticise its answers and revise them, round by round.

    Each round follows a principle drawn for it (arXiv:2212.08073, section 3). The store keeps all
    rounds with their parents, and a rerun resumes. A config with [bold]revision: {}[/bold] does
    the same in every cycle and fine-tunes on the result.
    """
    from rlhf_core.config import load_config
    from rlhf_core.files.whole import whole_text

    prepare_prefect()
    chosen = _with_revision(load_config(config, overrides or []), rounds)
    from flows.cycle.cycle import Cycle, new_run_id
    from flows.stages.revise import revision_calls

    cycle = Cycle(config=chosen, number=1, run_id=new_run_id())
    console.print(f"at most {revision_calls(chosen):,} calls of a language model", highlight=False)
    # Opened first, so that a path that cannot be written to is refused before a model is queried.
    with nullcontext() if out is None else whole_text(out) as stream:
        finished = _revise(cycle, chosen.revision.rounds)
        if stream is not None:
            lines = [json.dumps(_demonstration(*each), ensure_ascii=False) for each in finished]
            stream.writelines(f"{line}\n" for line in lines)
    result = {"revised": len(finished), "rounds": chosen.revision.rounds, "written": out}
    if as_json:
        print_json(result)
    else:
        typer.echo(f"{len(finished)} answers revised; SELECT * FROM revision_texts shows them")


def _with_revision(config: "Config", rounds: int | None) -> Any:
    from rlhf_core.config.tree import RevisionSettings

    settings = config.revision or RevisionSettings()
    if rounds is not None:
        settings = settings.model_copy(update={"rounds": rounds})
    return config.model_copy(update={"revision": settings})


def _revise(cycle: "Cycle", rounds: int) -> "list[tuple[Prompt, list[Revision]]]":
    """Return every prompt whose answer went through all rounds, with its revisions."""
    from flows.stages.ingest import ingest
    from flows.stages.revise import revise as revise_flow
    from rlhf_core.records import Split
    from rlhf_core.store import queries

    prompt_set_id = ingest(cycle)
    reviser = revise_flow(cycle, prompt_set_id)
    store = cycle.open_store()
    chains = queries.revisions_by(store, reviser or "")
    prompts = queries.prompts_of(store, prompt_set_id, Split.TRAIN)
    return [
        (prompt, chains[prompt.id])
        for prompt in prompts
        if prompt.id in chains and chains[prompt.id][-1].round >= rounds
    ]


def _demonstration(prompt: "Prompt", chain: "list[Revision]") -> dict[str, Any]:
    from rlhf_core.records.conversation import from_json

    return {
        "prompt": list(from_json(prompt.messages)) or prompt.text,
        "context": prompt.context,
        "few_shot": list(from_json(prompt.few_shot)),
        "tools": list(from_json(prompt.tools)),
        "first_answer": chain[0].text,
        "reference": chain[-1].text,
        "principles": [revision.principle for revision in chain[1:]],
    }
