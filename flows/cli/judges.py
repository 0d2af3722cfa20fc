"""`solon judges`: use judges by themselves, outside a cycle."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.harmless import harmless, harmless_json
from flows.terminal.screen import (
    AsJson,
    ColumnMap,
    ConfigPath,
    Overrides,
    out,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from rlhf_core.config.tree import Panel
    from rlhf_core.files.text_pairs import PairFormat

app = typer.Typer(help="List, measure, train and use judges outside a cycle.", no_args_is_help=True)
Kind = Annotated[str, typer.Argument(help="A judge's kind, as in `solon judges list`.")]
PairColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="ROLE=COLUMN",
        help="Name the column of text, other or label, or its number from 1 in a file without a "
        "header, such as text=premise. Repeatable.",
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option("--task", help="What the labels mean: similarity, paraphrase or entailment."),
]
ScoreRange = Annotated[
    str | None, typer.Option("--range", metavar="LOW,HIGH", help="Range of the similarity scores.")
]


@app.command("list")
def list_judges(as_json: AsJson = False) -> None:
    """List every judge that a config can name, with its options and their defaults."""
    from judges import describe

    described = describe()
    if as_json:
        print_json(described)
    else:
        rows = [(j["kind"], j["what"], ", ".join(j["options"])) for j in described]
        print_table(["judge", "what it does", "options"], rows)


@app.command()
def reparse(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Parse the stored replies of the judges' models again; no model is queried.

    Run it after an upgrade of Solon that fixes a parser. Verdicts are stored by the judge's
    version, so the old ones stay beside the new; the next run of the config uses the new ones.
    """
    from flows.audit.reparse import reparse as read_again
    from rlhf_core.config import load_config

    reparsed = [asdict(judge) for judge in read_again(load_config(config, overrides or []))]
    if as_json:
        print_json(reparsed)
    else:
        columns = ["judge", "version", "read again", "changed", "never asked"]
        print_table(columns, [list(judge.values()) for judge in reparsed])


@app.command()
def bench(
    config: Annotated[Path, typer.Argument(help="A YAML file with `judges:`, such as a run's.")],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="Labelled answers: a file, a folder or hf:owner/name:CONFIG:SPLIT, as in `solon "
            "import`, or an export of Solon.",
        ),
    ],
    overrides: Overrides = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="pairs, scored_pairs, ranked or texts, or a well-known data set as in `solon "
            "import`. Default: by the columns.",
        ),
    ] = None,
    columns: ColumnMap = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Rows of each file, drawn by hash. Default: all.")
    ] = None,
    injections: Annotated[
        int, typer.Option(min=0, help="Pairs whose worse answer is attacked with injections.")
    ] = 0,
    again: Annotated[
        int, typer.Option(min=0, help="Questions of each file that are asked a second time.")
    ] = 0,
    page: Annotated[Path | None, typer.Option("--out", help="File of the page.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Print the plan; ask no judge.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure judges on labelled answers: accuracy beside "longer wins", bias, calibration, cost.

    The config's weights and modes have no effect here: every judge judges every answer.
    """
    panel = _panel(config, overrides or [])
    from flows.audit.bench import Bench, plan_bench, read_sets, run_bench, summary
    from flows.audit.bench_screen import print_outcome, print_plan
    from flows.terminal.progress import console
    from judges.bench.attacks import injections as all_injections
    from judges.bench.results import Extras

    extras = Extras(all_injections() if injections else (), injections, again)
    wanted = Bench(panel, read_sets(data, form, columns or [], limit), extras)
    plan = plan_bench(wanted)
    if dry_run and as_json:
        print_json([asdict(row) for row in plan])
    elif not as_json:
        print_plan(plan, out if dry_run else console)
    if dry_run:
        return
    outcome = run_bench(wanted, plan, page)
    if as_json:
        print_json(summary(outcome))
    else:
        print_outcome(outcome, out)


@app.command()
def train(
    kind: Kind,
    data: Annotated[
        list[Path],
        typer.Option(help="Labelled pairs: .csv, .tsv, .txt, .json, .jsonl. Repeatable."),
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the trained model.")],
    dev: Annotated[
        list[Path] | None,
        typer.Option(help="Pairs for calibration. Default: a tenth of the data. Repeatable."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting, such as epochs=3 or compute.device=cpu. Repeatable.",
        ),
    ] = None,
    columns: PairColumns = None,
    task: TaskName = None,
    score_range: ScoreRange = None,
    as_json: AsJson = False,
) -> None:
    """Train a judge's model on pairs of texts that people labelled, and calibrate it.

    A training that was killed resumes when you start it again. A jury learns the reliability of
    its members from their votes on pairs in the formats of `bench`:
    --set "judges=[{kind: a}, {kind: b}]".
    """
    from judges import check_kind

    check_kind(kind)
    if kind == "jury":
        from judges.training.jury import train_jury

        learnt = train_jury(data, overrides or [], out_folder)
        print_json(learnt) if as_json else print_table(
            ["jury", ""], [(key, _in_words(value)) for key, value in learnt.items()]
        )
        return
    from flows.terminal.progress import progress
    from judges.training.encoder import prepare_training, train_judge

    known = _pair_format(columns, task, score_range)
    training = prepare_training(kind, data, dev or [], known, overrides or [], out_folder)
    if not as_json:
        print_table(
            ["plan", ""], [(key, _in_words(value)) for key, value in training.plan().items()]
        )
    card = train_judge(training, progress)
    if as_json:
        print_json(card)
    else:
        print_table(["metric", ""], [(k, _in_words(v)) for k, v in card["metrics"].items()])
        out.print(f"wrote {out_folder} in {card['seconds']:.0f} s", highlight=False)


@app.command()
def score(
    kind: Kind,
    data: Annotated[Path, typer.Option(help="Pairs of texts; the second of each is judged.")],
    model: Annotated[str | None, typer.Option(help="The judge's `model` option.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write. Default: the screen.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the judge, or compute.device=cpu. Repeatable.",
        ),
    ] = None,
    columns: PairColumns = None,
    as_json: AsJson = False,
) -> None:
    """Score every pair of a file; write one line a pair, in the file's order.

    The first text is both the reference answer and the given text (for entailment: the premise).
    A pair without a score gets its outcome and reason instead.
    """
    import json

    from judges import check_kind

    check_kind(kind)
    from flows.terminal.progress import progress
    from judges.bench.scoring import as_lines, score_pairs
    from rlhf_core.config import read_options
    from rlhf_core.files.whole import whole_text

    options, compute = read_options(overrides or [])
    options |= {"model": model} if model else {}
    with nullcontext() if out_file is None else whole_text(out_file) as stream:
        known = _pair_format(columns, None, None)
        rows = score_pairs(kind, options, data, known, progress, compute)
        lines = [json.dumps(row, ensure_ascii=False) for row in rows] if as_json else as_lines(rows)
        if stream is None:
            safe = harmless_json if as_json else harmless
            typer.echo("\n".join(safe(line) for line in lines))
        else:
            stream.writelines(f"{line}\n" for line in lines)


def _panel(config: Path, overrides: Sequence[str]) -> "Panel":
    """Return the judges of a config, after checking their kinds."""
    from judges import check_kinds
    from rlhf_core.config import load_panel

    panel = load_panel(config, overrides)
    check_kinds(panel.judges)
    return panel


def _pair_format(
    columns: Sequence[str] | None, task: str | None, score_range: str | None
) -> "PairFormat":
    from rlhf_core.files.text_pairs import pair_format

    return pair_format(columns or [], task, score_range)


def _in_words(value: object) -> object:
    """Return a mapping as words, with floats as in a table; any other value as it is."""
    if not isinstance(value, dict):
        return value
    return ", ".join(
        f"{key} {entry:.4g}" if isinstance(entry, float) else f"{key} {_in_words(entry)}"
        for key, entry in value.items()
    )
