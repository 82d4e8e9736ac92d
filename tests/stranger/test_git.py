"""A checkout that somebody has sent: git runs programs that its configuration names, so none are left to it."""

from __future__ import annotations

import subprocess

import pytest
from canary import CANARY

from tunesmith.run.record.environment import git

GIT = ("git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main")

CONFIGURATIONS = {
    "fsmonitor": "[core]\n\tfsmonitor = {evil}\n",
    "hooks": "[core]\n\thooksPath = {folder}\n",
    "filter": '[filter "evil"]\n\tclean = {evil}\n\tsmudge = {evil}\n\trequired = true\n',
    "process": '[filter "evil"]\n\tprocess = {evil}\n',
    "textconv": '[diff "evil"]\n\ttextconv = {evil}\n',
    "command": '[diff "evil"]\n\tcommand = {evil}\n',
    "external": "[diff]\n\texternal = {evil}\n",
    "included": "[include]\n\tpath = {folder}/more\n",
}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "a.txt").write_text("a\n")
    (folder / ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "x")):
        subprocess.run([*GIT, *words], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_program_that_a_checkout_names_is_run(name, checkout, tmp_path):
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/{CANARY}\ncat\n")
    evil.chmod(0o755)
    (tmp_path / "post-index-change").write_text(evil.read_text())
    (tmp_path / "post-index-change").chmod(0o755)
    (tmp_path / "more").write_text(CONFIGURATIONS["filter"].format(evil=evil, folder=tmp_path))
    with (checkout / ".git" / "config").open("a") as file:
        file.write(CONFIGURATIONS[name].format(evil=evil, folder=tmp_path))
    (checkout / "a.txt").write_text("b\n")
    found = git()
    assert found["commit"] and found["dirty"]
    assert not (tmp_path / CANARY).exists()
    subprocess.run(["git", "diff", "HEAD"], cwd=checkout, check=False, capture_output=True)
    assert (tmp_path / CANARY).exists() or name in ("hooks", "process"), "the attack is none"


def test_a_checkout_is_recorded_with_what_differs_from_its_commit(checkout):
    clean = git()
    assert clean["commit"] and clean["dirty"] is None
    (checkout / "a.txt").write_text("b\n")
    changed = git()
    (checkout / "a.txt").write_text("c\n")
    assert changed["commit"] == clean["commit"] and None is not changed["dirty"] != git()["dirty"]
