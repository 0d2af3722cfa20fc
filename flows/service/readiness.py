"""Checks of everything that a process needs to work for a line, each with the mend.

`solon doctor` makes all checks, and a worker those of its work pool when it starts. A check imports
what it needs when it runs, so that a command starts quickly.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib import metadata
from pathlib import Path

from rlhf_core.config import Config
from rlhf_core.config.address import PREFIX
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.evaluation import EndpointBaseline
from rlhf_core.errors import SolonError, StoreBusyError

GIB = 2**30
LEAST_FREE_GIB = 1
"""Free space below which work fails soon: checkpoints and snapshots are whole copies."""
LITTLE_FREE_GIB = 10
STORE_TIMEOUT_SECONDS = 3.0
FEWEST_OPEN_FILES = 1024


class State(StrEnum):
    """Result of a check."""

    OK = "ok"
    NOTE = "note"
    """Works, but somebody should know."""
    WRONG = "wrong"
    """Something will fail."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked."""

    name: str
    state: State
    found: str
    """The state that was found, in one line."""
    mend: str = ""
    """The remedy; empty if nothing needs to be done."""


def ok(name: str, found: str) -> Check:
    return Check(name, State.OK, found)


def note(name: str, found: str, mend: str) -> Check:
    """Return a check of something that works, but that somebody should know.

    Args:
        name: The thing that was checked.
        found: What was found.
        mend: What to do.
    """
    return Check(name, State.NOTE, found, mend)


def wrong(name: str, found: str, mend: str) -> Check:
    """Return a check of something that will fail.

    Args:
        name: The thing that was checked.
        found: What was found.
        mend: What to do.
    """
    return Check(name, State.WRONG, found, mend)


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Make a check whose own failure is a result, too: Solon's errors name what is right.

    Args:
        name: The thing that is checked.
        check: The check.

    Returns:
        Its result.
    """
    try:
        return check()
    except SolonError as error:
        found, _, mend = str(error).rpartition("; ")
        return wrong(name, found or mend, mend if found else "see the message")
    except Exception as error:  # a check must not end the others
        reason = " ".join(str(error).split()) or "no reason given"
        return wrong(name, f"{type(error).__name__}: {reason}", "see the message")


def ready_for(config: Config) -> Iterator[Check]:
    """Yield the checks of everything that a process on this machine needs to work for a line."""
    yield guarded("versions", check_versions)
    yield guarded("store", partial(check_store, config))
    yield guarded("artifacts", partial(check_artifacts, config))
    yield guarded("model cache", check_cache)
    yield guarded("open files", check_open_files)
    for endpoint in remote_models(config):
        yield guarded(f"key of {endpoint.model}", partial(check_keys, endpoint))


def check_versions() -> Check:
    """Check the packages that Solon pins, as its own metadata names them."""
    import platform

    from packaging.requirements import Requirement

    found, bad = [f"python {platform.python_version()}"], []
    for text in metadata.requires("solon") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            bad.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            bad.append(f"{wanted.name} {version} is not {wanted.specifier}")
        elif wanted.name in ("torch", "transformers", "prefect", "duckdb"):
            found.append(f"{wanted.name} {version}")
    if bad:
        mend = "pip install -c deploy/constraints.txt -e ."
        return wrong("versions", ", ".join(bad), f"run `{mend}` in the clone, or reinstall solon")
    return ok("versions", ", ".join(found))


def check_store(config: Config) -> Check:
    """Check that the store can be opened and written, without creating or migrating it."""
    from rlhf_core.store.examination import examine

    where = str(config.store)
    try:
        state = examine(config.store, STORE_TIMEOUT_SECONDS)
    except StoreBusyError as error:
        return note("store", str(error), "wait: writers queue, and none is lost")
    if not where.startswith(PREFIX) and (reason := _why_unwritable(Path(where).parent)):
        return wrong("store", reason, "make the folder writable for this user, or set `store`")
    if not state.exists:
        return ok("store", f"{where} is not there yet; the first run creates it")
    if state.newest is None or state.newest > state.known:
        found = f"{where} has schema {state.newest}, and this version knows {state.known}"
        return wrong("store", found, "install the newer version of Solon that wrote it")
    waiting = f", {state.spooled} batches wait for a writer" if state.spooled else ""
    storage = f", readable by DuckDB {state.storage}" if state.storage else ""
    return ok("store", f"{where}: schema {state.newest}{storage}{waiting}")


def check_artifacts(config: Config) -> Check:
    """Check that the folder of artifacts can be written and has room."""
    folder = config.artifacts
    if reason := _why_unwritable(folder):
        return wrong("artifacts", reason, "make it writable for this user, or set `artifacts`")
    return check_space("artifacts", folder)


def check_cache() -> Check:
    """Check that downloaded models can be stored, unless the hub is never asked."""
    if os.environ.get("HF_HUB_OFFLINE") in ("1", "true", "yes", "on"):
        return ok("model cache", "HF_HUB_OFFLINE is set: only models on this machine are used")
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    folder = Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub")
    if reason := _why_unwritable(folder):
        return wrong("model cache", reason, "make it writable, or set HF_HOME to another folder")
    return check_space("model cache", folder)


def check_space(name: str, folder: Path) -> Check:
    """Check the free space of the disk that a folder is or will be on.

    Args:
        name: The thing that needs the space.
        folder: Its folder.

    Returns:
        The check; wrong if work fails soon.
    """
    usage = shutil.disk_usage(_existing(folder))
    found = f"{folder}: {usage.free / GIB:.1f} of {usage.total / GIB:.0f} GiB free"
    if usage.free < LEAST_FREE_GIB * GIB:
        return wrong(name, found, "free space there; see `solon gc`")
    if usage.free < LITTLE_FREE_GIB * GIB:
        return note(name, found, "free space there before long; see `solon gc`")
    return ok(name, found)


def check_open_files() -> Check:
    """Check how many files and connections this process may have open at once."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FEWEST_OPEN_FILES:
        mend = f"`ulimit -n {FEWEST_OPEN_FILES}`, or LimitNOFILE= in the systemd unit"
        return wrong("open files", f"at most {soft} (hard limit {hard})", mend)
    return ok("open files", f"at most {soft}")


def check_keys(endpoint: EndpointSettings) -> Check:
    """Check that the environment holds the key and headers of a remote model; no value is shown."""
    name = f"key of {endpoint.model}"
    missing = [name for name in endpoint.headers.values() if not os.environ.get(name)]
    has_key = bool(os.environ.get(endpoint.api_key_env))
    if endpoint.base_url is None and not has_key:
        missing.append(endpoint.api_key_env)
    if missing:
        return wrong(name, f"not set: {', '.join(missing)}", "set it where the process starts")
    if not has_key:
        return ok(name, f"{endpoint.api_key_env} is not set; {endpoint.base_url} may need none")
    return ok(name, f"set: {', '.join([endpoint.api_key_env, *endpoint.headers.values()])}")


def remote_models(config: Config) -> list[EndpointSettings]:
    """Return the remote models that a config names, each address and model once."""
    from judges import load
    from judges.panel.judge import REMOTE_PREFIX
    from rlhf_core.config.tree import held_out_judges, training_judges

    named = [config.sampling.endpoint, config.revision.endpoint if config.revision else None]
    if isinstance(config.evaluation.baseline, EndpointBaseline):
        named.append(config.evaluation.baseline.endpoint)
    found = [endpoint for endpoint in named if endpoint is not None]
    settings = [*training_judges(config), *held_out_judges(config)]
    if config.sft.abstention is not None:
        settings.append(config.sft.abstention.judge)
    judges = [load(each) for each in settings]
    while judges:
        judge = judges.pop(0)
        judges += judge.members()
        options = judge.options
        if isinstance(options, EndpointSettings) and options.model.startswith(REMOTE_PREFIX):
            model = options.model.removeprefix(REMOTE_PREFIX)
            found.append(options.model_copy(update={"model": model}))
    unique = {(each.model, each.base_url, each.api_key_env): each for each in found}
    return list(unique.values())


def is_wrong(checks: Sequence[Check]) -> bool:
    """Return True if anything will fail."""
    return any(check.state is State.WRONG for check in checks)


def _existing(folder: Path) -> Path:
    """Return a folder, or the closest of its parents that exists."""
    path = folder.expanduser().resolve()
    while not path.exists():
        path = path.parent
    return path


def _why_unwritable(folder: Path) -> str:
    """Return why a folder cannot be created or written; empty if it can."""
    place = _existing(folder)
    if not place.is_dir():
        return f"{place} is a file, not a folder"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} cannot be written by this user"
    return ""
