"""A warning of ours fails a test, one of a library is listed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = f"""
import runpy
from pathlib import Path

Policy = runpy.run_path({str(ROOT / "tests" / "warning_policy.py")!r})["WarningPolicy"]

def pytest_configure(config):
    config.pluginmanager.register(Policy(Path(__file__).parent))
"""
LIBRARY = """
import functools
import warnings

def odd():
    warnings.warn("something is odd 1 time")

def odd_call():
    warnings.warn("call me otherwise", stacklevel=2)

def renamed():
    warnings.warn("renamed", FutureWarning)

def checked(function):
    @functools.wraps(function)
    def check(*args, **kwargs):
        warnings.warn("an argument was renamed", DeprecationWarning)
        return function(*args, **kwargs)
    return check

@checked
def run(deep=0):
    return run_deep(deep)

def run_deep(deep):
    return run_deep(deep - 1) if deep else renamed()
"""
TESTS = """
import gc
import warnings

import library
import other
import pytest

def test_fails_for_its_own():
    warnings.warn("mine")

def test_fails_for_its_call():
    library.odd_call()

def test_fails_for_a_deprecated_call():
    library.renamed()

def test_fails_for_a_deprecated_call_in_a_wrapper():
    library.run()

def test_fails_for_what_is_not_closed():
    open(__file__)
    gc.collect()

def test_fails_once():
    other.renamed()
    library.odd_call()

def test_passes_where_a_library_warns():
    library.odd()
    library.odd()

def test_passes_where_a_library_calls_another():
    other.renamed()

def test_passes_where_a_library_warns_deep_inside():
    library.run_deep(9)

def test_passes_where_it_is_expected():
    with pytest.warns(UserWarning, match="otherwise"):
        library.odd_call()

@pytest.mark.filterwarnings("ignore:call me otherwise")
def test_passes_where_it_is_ignored():
    library.odd_call()
"""
IMPORTING = "import library\nlibrary.renamed()\ndef test_nothing(): pass\n"


@pytest.fixture
def suite(tmp_path):
    """Runs tests that use two libraries, with our own settings of pytest; gives what it printed."""
    libraries, tests = tmp_path / "site-packages", tmp_path / "tests"
    libraries.mkdir(), tests.mkdir()
    (libraries / "library.py").write_text(LIBRARY)
    (libraries / "other.py").write_text("import library\ndef renamed():\n    library.renamed()\n")
    (tests / "conftest.py").write_text(CONFTEST)

    def run(text, *words):
        (tests / "test_it.py").write_text(text)
        line = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}", *words]
        env = os.environ | {"PYTHONPATH": str(libraries)}
        return subprocess.run([*line, str(tests)], env=env, capture_output=True, text=True, check=False).stdout

    return run


@pytest.mark.parametrize("words", [["-p", "no:xdist"], ["-n", "1"]], ids=["alone", "in a worker"])
def test_ours_fail_and_those_of_libraries_are_listed(suite, words):
    said = suite(TESTS, "-p", "no:cacheprovider", *words)
    assert "6 failed, 5 passed" in said
    assert said.count("FAILED") == said.count("::test_fails_") == 6
    listed = said[said.index("warnings of libraries") :]
    assert "2 × library: UserWarning: something is odd N time" in listed
    assert "3 × library: FutureWarning: renamed" in listed  # by another library twice, and once deep inside
    assert "otherwise" not in listed[: listed.index("short test summary")]


def test_ours_fail_while_tests_are_imported(suite):
    said = suite(IMPORTING, "-p", "no:xdist", "-p", "no:cacheprovider")
    assert "FutureWarning: renamed" in said and "1 error" in said
