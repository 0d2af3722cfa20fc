"""`solon judges`: the judges by themselves, outside a cycle."""

from dataclasses import asdict

import typer

from flows._screen import AsJson, ConfigPath, Overrides, print_json, print_table

app = typer.Typer(help="The judges by themselves.", no_args_is_help=True)


@app.command("list")
def list_judges(as_json: AsJson = False) -> None:
    """Every judge that a config can name, with its options and their defaults."""
    from judges import describe

    found = describe()
    if as_json:
        print_json(found)
    else:
        rows = [(j["kind"], j["what"], ", ".join(j["options"])) for j in found]
        print_table(["judge", "what it does", "options"], rows)


@app.command()
def reparse(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Read what the judges' models said again, with the parsers of today; asks nothing.

    Verdicts are kept by the judge's version, so old ones stay beside the new; the next run of the
    config uses the new ones. Needed after an upgrade of Solon that mends a parser.
    """
    from flows.reparse import reparse as read_again
    from rlhf_core.config import load_config

    found = [asdict(judge) for judge in read_again(load_config(config, overrides or []))]
    if as_json:
        print_json(found)
    else:
        columns = ["judge", "version", "read again", "changed", "not asked before"]
        print_table(columns, [list(judge.values()) for judge in found])
