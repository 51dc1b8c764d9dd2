"""The disk cache: found again, never wrong, whatever happens to its files."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fungrad as fg
from fungrad import cache
from fungrad.jit import compiler, machine_code, python_call
from fungrad.jit.stages import form_of
from fungrad.primitives.sort import ArgSort
from fungrad.trace import bind
from tests.benchmarks import cache_faults

X = np.linspace(-1, 1, 7)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache of its own."""
    monkeypatch.setenv("FUNGRAD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("FUNGRAD_CACHE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch):
    """The number of times LLVM has compiled, in a list."""
    count = [0]

    def compile_text(text, finished):
        count[0] += 1
        return machine_code.compile_text(text, finished)

    monkeypatch.setattr(compiler, "compile_text", compile_text)
    return count


def run():
    """A program made anew: elementwise, a product, a bounds check and a call to NumPy."""

    def f(x):
        order = bind(ArgSort(0), np.sin(x))
        return np.outer(x, x) @ np.exp(x[order]) + 0.25

    return fg.jit(f)(X)


def expected():
    return np.outer(X, X) @ np.exp(X[np.argsort(np.sin(X))]) + 0.25


def test_what_was_compiled_is_found_again(place, compiled):
    run()
    first = compiled[0]
    assert first > 0
    np.testing.assert_allclose(run(), expected(), rtol=1e-13)
    assert compiled[0] == first
    assert cache.entries() == len(list(place.iterdir())) >= 1
    assert cache.size() == sum(path.stat().st_size for path in place.iterdir())
    cache.clear()
    assert cache.entries() == cache.size() == 0
    run()
    assert compiled[0] == first + 1


def test_the_directory_is_private(place):
    run()
    assert place.stat().st_mode & 0o777 == 0o700


def test_it_can_be_turned_off(place, compiled, monkeypatch):
    monkeypatch.setenv("FUNGRAD_CACHE", "0")
    run()
    run()
    assert compiled[0] == 2
    assert cache.directory() is None
    assert cache.entries() == 0
    assert not place.exists()


def damages(content):
    yield b""
    for length in (1, 20, 40, 60, len(content) // 2, len(content) - 1):
        yield content[:length]
    yield content + b"\0"
    rng = np.random.default_rng(0)
    for position in [0, 25, 60, *rng.integers(0, len(content), 12)]:
        yield content[:position] + bytes([content[position] ^ 1 << int(rng.integers(8))]) + content[position + 1 :]


def test_damaged_entries_are_compiled_again(place):
    run()
    (path,) = place.glob("*.code")
    content = path.read_bytes()
    for damaged in damages(content):
        path.write_bytes(damaged)
        np.testing.assert_allclose(run(), expected(), rtol=1e-13)
        assert path.read_bytes() == content


def test_an_entry_under_the_name_of_another_is_not_used(place):
    fg.jit(lambda x: x + 1.0)(X)
    (one,) = place.iterdir()
    fg.jit(lambda x: x + 2.0)(X)
    (two,) = set(place.iterdir()) - {one}
    two.write_bytes(one.read_bytes())
    np.testing.assert_array_equal(fg.jit(lambda x: x + 2.0)(X), X + 2.0)


@pytest.mark.parametrize("names", ['["fungrad_libc_nothing"]', '["other"]', "[]", "{", "3"])
def test_an_entry_that_does_not_link_is_compiled_again(place, compiled, names, monkeypatch):
    """Whole, but not made by this compiler: it needs what this process does not have."""
    keys = []
    monkeypatch.setattr(cache, "load", lambda key, load=cache.load: keys.append(key) or load(key))
    run()
    text = """
        declare i64 @no_such_function_anywhere(i8*)
        define i64 @fungrad_entry(i8* %table) {
          %status = call i64 @no_such_function_anywhere(i8* %table)
          ret i64 %status
        }"""
    code = machine_code.compile_text(text)
    cache.store(keys[0], names.encode() + b"\n" + code)
    before = compiled[0]
    np.testing.assert_allclose(run(), expected(), rtol=1e-13)
    assert compiled[0] == before + 1


def test_a_place_that_cannot_be_used_is_not_used(tmp_path, place, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(private)
    for path in (file, file / "below", shared, link, Path("/proc/none")):
        monkeypatch.setenv("FUNGRAD_CACHE_DIR", str(path))
        np.testing.assert_allclose(run(), expected(), rtol=1e-13)
        assert cache.entries() == 0
    assert not list(shared.iterdir())
    assert not list(private.iterdir())


def test_a_full_disk_is_no_error(place, monkeypatch):
    def replace(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    np.testing.assert_allclose(run(), expected(), rtol=1e-13)
    assert not list(place.iterdir())


def test_what_was_not_used_for_longest_goes_first(place, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 3500)
    for i in range(6):
        monkeypatch.setattr(cache, "_stores", 0)
        cache.store(f"{i:064x}", bytes(1000))
        path = place / f"{i:064x}.code"
        if path.exists():
            os.utime(path, (1000 + i, 1000 + i))
        if i == 2:
            assert cache.load(f"{0:064x}") == bytes(1000)
    assert [i for i in range(6) if cache.load(f"{i:064x}") is not None] == [0, 4, 5]


def test_the_users_files_are_not_touched(place, monkeypatch):
    place.mkdir(mode=0o700)
    own = [place / name for name in ("tmp_results.csv", "mine.code", "fungrad-notes.txt")]
    for path in own:
        path.write_text("mine")
        os.utime(path, (0, 0))
    left = place / "fungrad-x.part"  # by a process that was killed long ago
    left.write_text("unfinished")
    os.utime(left, (0, 0))
    monkeypatch.setattr(cache, "_stores", 0)
    run()
    assert cache.entries() > 0
    assert not left.exists()
    cache.clear()
    assert sorted(place.iterdir()) == sorted(own)


def test_code_that_knows_where_fields_of_objects_are_is_not_found_by_a_python_with_others(place, monkeypatch):
    keys = []
    monkeypatch.setattr(cache, "load", lambda key: keys.append(key))
    for layout in (python_call.FIELDS, "16 32"):
        monkeypatch.setattr(python_call, "FIELDS", layout)
        compiler._call_code.__wrapped__()
    assert keys[0] != keys[1]


def test_programs_that_differ_have_different_keys():
    x32 = X.astype(np.float32)
    programs = [
        (lambda x: x + 1.0, (X,)),
        (lambda x: x + 1.5, (X,)),
        (lambda x: x + 1.0, (x32,)),
        (lambda x: x + 1.0, (X[:3],)),
        (lambda x: x - 1.0, (X,)),
        (lambda x: np.copysign(x, 0.0), (X,)),
        (lambda x: np.copysign(x, -0.0), (X,)),
        (lambda x, y: np.sin(x) - y, (X, X)),
        (lambda x, y: np.sin(y) - x, (X, X)),
        (lambda x: (np.sin(x), np.cos(x)), (X,)),
        (lambda x: (np.cos(x), np.sin(x)), (X,)),
        (lambda x, i: x[i], (X, np.array([1]))),
        (lambda x: bind(ArgSort(0), x), (X,)),
    ]
    forms = [repr(form_of(fg.jit(f)._compiled(args, {}).program)) for f, args in programs]
    assert len(set(forms)) == len(forms)
    again = [repr(form_of(fg.jit(lambda *a, f=f: f(*a))._compiled(args, {}).program)) for f, args in programs]
    assert again == forms


# -- several processes ------------------------------------------------------------------------------------------------


def check(outcome, runs):
    assert outcome["runs"] >= runs
    assert outcome["wrong"] == outcome["crashes"] == 0


def test_processes_that_race(place):
    check(cache_faults.races(place, 1, processes=3, programs=3), 3)


def test_processes_that_are_killed(place):
    check(cache_faults.kills(place, 3), 3)


@pytest.mark.fuzz
def test_many_processes_that_race(place):
    check(cache_faults.races(place, 20, processes=6, programs=5), 120)


@pytest.mark.fuzz
def test_many_processes_that_are_killed(place):
    check(cache_faults.kills(place, 100), 100)


@pytest.mark.fuzz
def test_many_damaged_entries(place):
    check(cache_faults.truncations(place, 500), 500)
    check(cache_faults.bit_flips(place, 2000), 2000)


def test_threads_share_it(place):
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(lambda _: run(), range(12)):
            np.testing.assert_allclose(found, expected(), rtol=1e-13)
