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


def test_each_sign_of_life_is_another(claims):
    mine = claims.take(3)
    seen = []
    for _ in range(3):
        seen.append(json.loads(mine.path.read_text())["beats"])
        assert mine.renew()
    assert seen == [0, 1, 2]


def test_a_claim_that_cannot_be_read_is_somebodys(claims):
    """A network file system may show it late, or in part; a job that runs twice costs more than one that waits."""
    mine = claims.take(3)
    whole = mine.path.read_text()
    for text in ("", whole[: len(whole) // 2]):
        mine.path.write_text(text)
        assert claims.take(3) is None
        assert claims.owner(3) == "?:?"
    mine.path.write_text(whole)
    mine.give_back()
    assert claims.take(3) is not None


def test_what_a_dead_launcher_never_began_is_free(claims):
    edit(claims.take(3).path, owner=dead())
    assert claims.take(3) is not None


def test_the_time_without_a_sign_of_life_is_counted_for_each_claim(claims, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(claim.time, "monotonic", lambda: now[0])
    for number in (3, 4):
        edit(claims.take(number).path, owner={"host": "elsewhere", "pid": 1, "began": "x"})
    assert claims.take(3) is None
    now[0] = claim.STALE
    assert claims.take(3) is None and claims.take(4) is None
    now[0] += 0.5
    assert claims.take(4) is None and claims.take(3) is not None
    assert (claim.BEAT, claim.STALE) == (5.0, 60.0)  # a sign of life may be late, or lost, several times


@pytest.mark.parametrize("beats", [0, 1, 2])
def test_who_is_seen_for_the_first_time_lives(beats, claims, monkeypatch):
    monkeypatch.setattr(claim.time, "monotonic", lambda: 10 * claim.STALE)
    edit(claims.take(3).path, owner={"host": "elsewhere", "pid": 1, "began": "x"}, beats=beats)
    assert claims.take(3) is None


def test_a_claim_is_on_the_disk_before_anybody_sees_it(claims, monkeypatch):
    steps, fsync, link = [], os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda handle: steps.append("synced") or fsync(handle))
    monkeypatch.setattr(os, "link", lambda *paths: steps.append("linked") or link(*paths))
    mine = claims.take(3)
    assert steps == ["synced", "linked"]
    found = json.loads(mine.path.read_text())
    assert found == {"owner": process.identity(), "beats": 0, "job": None, "given_back": False}
    mine.job = process.identity()
    mine.renew()
    mine.give_back()
    found = json.loads(mine.path.read_text())
    assert found == {"owner": process.identity(), "beats": 1, "job": process.identity(), "given_back": True}


def test_the_folder_is_made(tmp_path):
    for _ in range(2):
        claims = Claims(tmp_path / "a" / "b")
    assert claims.take(12345).path.name == "12345-1.json"


def test_what_was_given_back_is_free_whoever_had_it(claims):
    mine = claims.take(3)
    edit(mine.path, given_back=True, owner={"host": "elsewhere", "pid": 1, "began": "x"})
    assert claims.take(3) is not None


def test_of_two_that_claim_at_once_one_has_it(claims, tmp_path, monkeypatch):
    other, link = Claims(tmp_path), os.link

    def late(source, target):
        monkeypatch.setattr(os, "link", link)
        assert other.take(3) is not None
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert claims.take(3) is None
    assert [path.name for path in tmp_path.iterdir()] == ["0003-1.json"]


def test_what_this_process_claims_is_known_by_number_and_generation(claims):
    mine = claims.take(3)
    assert mine.path.name == "0003-1.json" and mine.is_newest()
    mine.give_back()
    following = claims.take(3)
    assert following.path.name == "0003-2.json" and following.is_newest() and not mine.is_newest()


def test_the_owner_is_named(claims):
    claims.take(3)
    assert claims.owner(3) == f"{process.identity()['host']}:{os.getpid()}"
    assert claims.owner(4) == "?:?"
