from __future__ import annotations

from pathlib import Path

from tunesmith.config import gate
from tunesmith.run.session import Session, Typed


def test_it_is_read_from_what_surrounds_the_command(monkeypatch):
    for name, value in {"RUN_FOLDER": "/a", "JOB": "/b", "SWEEP": "s", "ALLOW": "mine, yours"}.items():
        monkeypatch.setenv(f"TUNESMITH_{name}", value)
    session = Session.read()
    assert (session.run_folder, session.job, session.sweep) == (Path("/a"), Path("/b"), "s")
    assert session.trust.allowed >= {"mine", "yours"} and not session.trust.plug_ins
    assert session.typed == Typed() and session.started is None
    monkeypatch.setenv("TUNESMITH_ALLOW", "others")
    assert session.trust.allowed >= {"mine"}  # a value: it changes no more


def test_two_share_nothing(monkeypatch):
    monkeypatch.delenv("TUNESMITH_JOB", raising=False)
    one, other = Session.read(trust=gate.Trust()), Session.read(trust=gate.Trust())
    one.stop.ask()
    one.watches.of(1)
    assert other.stop.asked() is None and not other.watches._found
    assert one.console is not other.console and one.job is None
