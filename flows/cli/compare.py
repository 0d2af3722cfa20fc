"""`solon compare`: a policy against the answers of a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from flows.audit.compare import FileComparison


def compare(
    config: ConfigPath,
    answers: Annotated[Path, typer.Option(help="File with a prompt and an answer a row.")],
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", help="Name of a column, as in --map answer=output. Repeatable."),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Compare the last policy's held-out answers with those of a file, by the evaluation's judges.

    The file may come from anywhere: another model, an older system, people. Its prompts must be
    those of the config's source, word for word; only held-out ones are compared. The comparison
    is stored as an evaluation and decides nothing.

    Example: [bold]solon compare my.yaml --answers gpt.jsonl --map answer=output[/bold]
    """
    prepare_prefect()
    loaded = load_checked(config, overrides)
    from flows.audit.compare import compare_with_file
    from flows.cycle.cycle import next_cycle
    from rlhf_core.files.roles import parse_map

    named = parse_map(columns or [], ("prompt", "answer", "context"))
    found = compare_with_file(next_cycle(loaded, config), answers, named)
    if as_json:
        print_json(_facts(found))
        return
    others = f"; {found.others} of its prompts are not held out" if found.others else ""
    typer.echo(
        f"policy {found.policy_id} against {answers.name} on {found.prompts} held-out prompts; "
        f"{found.unanswered} more have no answer in the file{others}"
    )
    equal = {each.evaluation_id: each.value for each in found.figures if _is_controlled(each)}
    print_table(
        ("judge", "win rate", "interval", "at equal length", "unscored"),
        [
            (
                each.judge,
                _share(each.win_rate),
                f"{_share(each.win_rate_low)} to {_share(each.win_rate_high)}",
                _share(equal.get(each.id)),
                f"{each.unscored} of {each.comparisons}",
            )
            for each in found.evaluations
        ],
    )


def _facts(found: "FileComparison") -> dict[str, Any]:
    return {
        "policy": found.policy_id,
        "baseline": found.baseline_id,
        "prompts": found.prompts,
        "unanswered": found.unanswered,
        "others": found.others,
        "evaluations": [each.model_dump() for each in found.evaluations],
        "figures": [each.model_dump() for each in found.figures],
    }


def _is_controlled(figure: Any) -> bool:
    from rlhf_core.evaluation.evaluation_figures import LENGTH_CONTROLLED

    return bool(figure.metric == LENGTH_CONTROLLED)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
