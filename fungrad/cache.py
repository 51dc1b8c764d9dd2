"""Machine code kept on disk, so that a new process need not compile what an earlier one has compiled.

It is on by itself. `FUNGRAD_CACHE=0` turns it off; `FUNGRAD_CACHE_DIR` names another directory. An entry is found by
a hash of the program's loops, of the compiler and of the processor, and is checked against its checksum before it is
used. What is damaged, out of date or unreadable counts as absent, and a directory that others can write to is not
used: the cache never changes a result and never raises.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

LIMIT = 2**30
"""Bytes on disk beyond which the entries that were not used for longest are removed."""

_ENTRY = re.compile(r"[0-9a-f]{64}\.code")
_SUFFIX, _PREFIX, _UNFINISHED = ".code", "fungrad-", ".part"
_MAGIC = b"fungrad machine code 1\n"
_HASH = hashlib.sha256().digest_size
_stores = 0


def directory() -> Path | None:
    """Where entries are kept, or None if the cache is turned off or there is no place for it.

    >>> directory() is None or directory().is_absolute()
    True
    """
    if os.environ.get("FUNGRAD_CACHE", "1") == "0":
        return None
    chosen = os.environ.get("FUNGRAD_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute()
    try:
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "fungrad"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "fungrad"
    except RuntimeError:  # no home
        return None


def entries() -> int:
    """How many compiled programs are kept."""
    return sum(1 for _ in _files())


def size() -> int:
    """How many bytes they take."""
    return sum(status.st_size for _, status in _files())


def clear() -> None:
    """Remove every entry; what this process has compiled stays usable."""
    for path, _ in _files(everything=True):
        with contextlib.suppress(OSError):
            os.unlink(path)


def load(key: str) -> bytes | None:
    """What was stored under a key, if it is whole."""
    place = directory()
    if place is None or not _is_ours(place):
        return None
    path = place / (key + _SUFFIX)
    try:
        content = path.read_bytes()
        start = len(_MAGIC) + _HASH
        data = content[start:]
        if content[: len(_MAGIC)] != _MAGIC or content[len(_MAGIC) : start] != _checksum(key, data):
            os.unlink(path)
            return None
        os.utime(path)  # used just now
    except OSError:
        return None
    return data


def store(key: str, data: bytes) -> None:
    """Keep data under a key. Other processes see all of it or nothing."""
    global _stores
    place = directory()
    if place is None:
        return
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(place):
            return
        handle, name = tempfile.mkstemp(_UNFINISHED, _PREFIX, place)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + _checksum(key, data) + data)
            os.replace(name, place / (key + _SUFFIX))
        except OSError:
            os.unlink(name)
            raise
    except OSError:
        return
    if _stores % 64 == 0:
        _evict()
    _stores += 1


def _checksum(key: str, data: bytes) -> bytes:
    return hashlib.sha256(key.encode() + data).digest()


def _is_ours(place: Path) -> bool:
    """Whether the directory belongs to this user and nobody else can write to it: code from it is run."""
    try:
        status = os.lstat(place)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)


def _files(everything: bool = False) -> Iterator[tuple[str, os.stat_result]]:
    """The entries; with `everything` also what a killed process left unfinished. Other files are the user's."""
    place = directory()
    if place is None or not _is_ours(place):
        return
    with contextlib.suppress(OSError), os.scandir(place) as found:
        for item in found:
            unfinished = item.name.startswith(_PREFIX) and item.name.endswith(_UNFINISHED)
            if _ENTRY.fullmatch(item.name) or (everything and unfinished):
                with contextlib.suppress(OSError):
                    yield item.path, item.stat(follow_symlinks=False)


def _evict() -> None:
    """Remove the oldest entries beyond the limit, and unfinished files of an hour ago."""
    found = sorted(_files(everything=True), key=lambda entry: -entry[1].st_mtime)
    total = 0
    for path, status in found:
        total += status.st_size
        unfinished = not path.endswith(_SUFFIX) and status.st_mtime < time.time() - 3600
        if total > LIMIT or unfinished:
            with contextlib.suppress(OSError):
                os.unlink(path)
