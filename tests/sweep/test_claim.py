import json
import os
import subprocess
import sys

import pytest

from tunesmith.run.record import process
from tunesmith.sweep import claim
from tunesmith.sweep.claim import Claims


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def dead():
    """What a process was, that is no more."""
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    who = process.identity(child.pid)
    child.communicate(b"")
    return who


@pytest.fixture
def claims(tmp_path):
    return Claims(tmp_path)


def test_what_is_taken_is_taken(claims, tmp_path):
    assert claims.take(3) is not None
    assert claims.take(3) is None and Claims(tmp_path).take(3) is None
    assert claims.take(4) is not None


def test_what_was_given_back_can_be_taken_once(claims):
    claims.take(3).give_back()
    assert claims.take(3) is not None
    assert claims.take(3) is None


def test_a_dead_owner_has_nothing_unless_its_job_lives(claims):
    mine, gone = claims.take(3), dead()
    edit(mine.path, owner=gone, job=process.identity())
    assert claims.take(3) is None
    edit(mine.path, job=gone)
    assert claims.take(3) is not None


def test_an_owner_elsewhere_is_dead_when_it_gives_no_sign_of_life(claims, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(claim.time, "monotonic", lambda: now[0])
    mine = claims.take(3)
    edit(mine.path, owner={"host": "elsewhere", "pid": 1, "began": "x"})
    assert claims.take(3) is None
    now[0] = claim.STALE - 1
    assert claims.take(3) is None
    edit(mine.path, beats=1)  # it lives
    now[0] += 2
    assert claims.take(3) is None
    now[0] += claim.STALE + 1
    assert claims.take(3) is not None


def test_an_owner_taken_for_dead_learns_of_it(claims):
    mine = claims.take(3)
    assert mine.renew()
    mine.given_back = True
    mine.renew()
    claims.take(3)
    assert not mine.renew()


def test_the_owner_is_named(claims):
    claims.take(3)
    assert claims.owner(3).endswith(f":{os.getpid()}")
