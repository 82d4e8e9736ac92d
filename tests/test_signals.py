"""Signals: obeyed at once, kept until the run has saved, or left alone."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tunesmith import signals
from tunesmith.errors import StoppedError, is_interruption


def send(name="SIGTERM"):
    os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGUSR1", 143), ("SIGUSR2", 143), ("SIGINT", 130)])
def test_a_signal_stops_at_once_and_again(name, code):
    before = signal.getsignal(getattr(signal, name))
    with signals.listening():
        for _ in range(2):  # the first may have been dropped while an object was finalised
            with pytest.raises(StoppedError) as caught:
                send(name)
        assert (caught.value.code, caught.value.signal, signals.asked().name) == (code, name, name)
        assert is_interruption(caught.value)
    assert signal.getsignal(getattr(signal, name)) is before


def test_it_waits_where_somebody_looks(capfd):
    with signals.listening():
        signals.later()
        send()
        send()
        send("SIGUSR1")
        with pytest.raises(StoppedError, match="SIGTERM"):
            signals.obey()
    assert capfd.readouterr().err.count("saving between two batches") == 1


def test_a_second_ctrl_c_does_not_wait():
    with signals.listening():
        signals.later()
        send("SIGINT")
        with pytest.raises(StoppedError, match="interrupted"):
            send("SIGINT")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_nothing_is_cut_short_that_must_not_be(name):
    with signals.listening():
        with signals.held():
            send(name)
            send(name)
        with pytest.raises(StoppedError):
            signals.obey()


def test_without_a_signal_nothing_stops():
    with signals.listening():
        signals.later()
        signals.obey()
        signals.now()
        signals.obey()


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with signals.listening():
            send("SIGUSR1")
            signals.later()
            assert signals.asked() is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_handlers_that_others_put_around_ours_go_when_training_begins():
    with signals.listening():
        signal.signal(signal.SIGTERM, lambda *a: pytest.fail("another's handler"))
        signals.later()
        send()
        assert signals.asked() is signal.SIGTERM


def test_a_forked_child_dies_of_its_signal():
    with signals.listening():
        child = os.fork()
        if not child:
            signals.later()
            send()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_a_thread_leaves_signals_alone():
    handlers = []
    before = signal.getsignal(signal.SIGTERM)

    def inside():
        with signals.listening():
            signals.later()
            handlers.append(signal.getsignal(signal.SIGTERM))
        signals.now()

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert handlers == [before]
