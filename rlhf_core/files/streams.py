"""Bytes of files, plain or compressed with gzip or Zstandard."""

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from rlhf_core.errors import DataFileError

Row = tuple[str, Mapping[str, Any]]
"""Place of a row for errors, such as `FILE line 3`, and its cells by column."""
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
BYTE_ORDER_MARKS_OF_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def format_ending(path: Path) -> str:
    """Return the ending that names a file's format, in lower case: `.csv` for `f.CSV.gz`."""
    bare = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return bare.suffix.lower()


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed.

    Raises:
        DataFileError: If the compressed bytes are damaged or end too early.
    """
    compression = COMPRESSIONS.get(path.suffix.lower())
    if compression is None:
        with path.open("rb") as stream:
            yield stream
        return
    try:
        if compression == "gzip":
            with gzip.open(path, "rb") as stream:
                yield cast(BinaryIO, stream)
        else:
            with pa.input_stream(str(path), compression=compression) as source:
                yield cast(BinaryIO, io.BufferedReader(source))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, compression, error) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(path, compression, error) from None


def _damaged(path: Path, compression: str, error: Exception) -> DataFileError:
    reason = " ".join(str(error).split())
    return DataFileError(f"{path}: not readable as {compression} ({reason}); compress it again")


def not_utf8(path: Path) -> DataFileError:
    """Return the error for a file that is not UTF-8; names the line, or says that it is UTF-16."""
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1 and line.startswith(BYTE_ORDER_MARKS_OF_UTF_16):
                return DataFileError(f"{path}: is UTF-16; save the file as UTF-8")
            try:
                line.decode()
            except UnicodeDecodeError:
                return DataFileError(f"{path} line {number}: not UTF-8; save the file as UTF-8")
    return DataFileError(f"{path}: not UTF-8; save the file as UTF-8")
