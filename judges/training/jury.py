"""Learning how reliable each member of a jury is, from their votes on answers nobody labelled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.bench.runner import contests
from judges.jury import JuryJudge, JuryOptions
from rlhf_core.config import read_overrides, validate
from rlhf_core.errors import ConfigError, DataFileError
from rlhf_core.evaluation.dawid_skene import fit, save
from rlhf_core.files.labelled_reading import read_labelled

RELIABILITY = "reliability.json"


def train_jury(files: Sequence[Path], overrides: Sequence[str], out: Path) -> dict[str, Any]:
    """Let the members vote on every pair in both orders, and write what that tells of them.

    Args:
        files: Pairs in any format `solon judges bench` reads; their labels are not looked at.
        overrides: `judges=[...]`, the members as in a config.
        out: Folder for `reliability.json`, which the jury's `reliability` option then names.

    Raises:
        InputError: If the members or the files do not fit.
    """
    path = out / RELIABILITY
    if out.exists() and any(out.iterdir()) and not path.exists():
        raise ConfigError(f"--out {out} is there and holds no {RELIABILITY}; name a new folder")
    options = validate(JuryOptions, read_overrides(overrides), "training jury")
    jury = JuryJudge(options)
    jury.check()
    pairs = [pair for file in files for pair in read_labelled(file, None, {}).pairs]
    if not pairs:
        raise DataFileError("the files hold no pairs; a jury votes on two answers at a time")
    learnt = fit(jury.votes([contest for pair in pairs for contest in contests(pair)]))
    out.mkdir(parents=True, exist_ok=True)
    save(learnt, path)
    return {
        "written": str(path),
        "contests": learnt.contests,
        "first_is_better": learnt.prior[0],
        "says_first_when_it_is": {name: rows[0][0] for name, rows in learnt.confusion.items()},
        "says_second_when_it_is": {name: rows[1][1] for name, rows in learnt.confusion.items()},
    }
