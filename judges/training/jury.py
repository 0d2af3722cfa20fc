"""Estimation of each juror's reliability from the jurors' votes on unlabelled pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.bench.runner import both_orders
from judges.jury import JuryJudge, JuryOptions
from judges.panel.ledger import Ledger
from rlhf_core.config import read_options, validate
from rlhf_core.errors import ConfigError, DataFileError
from rlhf_core.evaluation.dawid_skene import fit, save
from rlhf_core.files.labelled_reading import read_labelled

RELIABILITY = "reliability.json"


def train_jury(files: Sequence[Path], overrides: Sequence[str], out: Path) -> dict[str, Any]:
    """Fit the jurors' reliability to their votes on every pair in both orders, and save it.

    Args:
        files: Pairs in any format that `solon judges bench` reads; their labels are not used.
        overrides: `judges=[...]`, the members as in a config; device and precision of their models
            as `compute.device=cpu`.
        out: Folder for `reliability.json`, which the jury's `reliability` option then names.

    Returns:
        A summary for display: the file, the number of contests and each juror's reliability.

    Raises:
        InputError: If the members or the files do not fit.
    """
    path = out / RELIABILITY
    if out.exists() and any(out.iterdir()) and not path.exists():
        raise ConfigError(f"--out {out} exists and holds no {RELIABILITY}; name a new folder")
    tree, compute = read_options(overrides)
    options = validate(JuryOptions, tree, "training jury")
    jury = JuryJudge(options, Ledger(compute=compute))
    jury.check()
    pairs = [pair for file in files for pair in read_labelled(file, None, {}).pairs]
    if not pairs:
        raise DataFileError("the files hold no pairs, and a jury votes on pairs of answers")
    learnt = fit(jury.votes([contest for pair in pairs for contest in both_orders(pair)]))
    out.mkdir(parents=True, exist_ok=True)
    save(learnt, path)
    return {
        "written": str(path),
        "contests": learnt.contests,
        "first_is_better": learnt.prior[0],
        "says_first_when_it_is": {name: rows[0][0] for name, rows in learnt.confusion.items()},
        "says_second_when_it_is": {name: rows[1][1] for name, rows in learnt.confusion.items()},
    }
