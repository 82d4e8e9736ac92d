"""Signals: obeyed at once, kept until the run has saved, or left alone."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tunesmith.errors import StoppedError, is_interruption
from tunesmith.signals import Stop


@pytest.fixture
def stop():
    return Stop()


def send(name="SIGTERM"):
    os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGUSR1", 143), ("SIGUSR2", 143), ("SIGINT", 130)])
def test_a_signal_stops_at_once_and_again(name, code, stop):
    before = signal.getsignal(getattr(signal, name))
    with stop.listening():
        for _ in range(2):  # the first may have been dropped while an object was finalised
            with pytest.raises(StoppedError) as caught:
                send(name)
        assert (caught.value.code, caught.value.signal, stop.asked().name) == (code, name, name)
        assert is_interruption(caught.value)
    assert signal.getsignal(getattr(signal, name)) is before


def test_it_waits_where_somebody_looks(capfd, stop):
    with stop.listening():
        stop.later()
        send()
        send()
        send("SIGUSR1")
        with pytest.raises(StoppedError, match="SIGTERM"):
            stop.obey()
    assert capfd.readouterr().err.count("saving between two batches") == 1


def test_a_second_ctrl_c_does_not_wait(stop):
    with stop.listening():
        stop.later()
        send("SIGINT")
        with pytest.raises(StoppedError, match="interrupted"):
            send("SIGINT")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_nothing_is_cut_short_that_must_not_be(name, stop):
    with stop.listening():
        with stop.held():
            send(name)
            send(name)
        with pytest.raises(StoppedError):
            stop.obey()


def test_without_a_signal_nothing_stops(stop):
    with stop.listening():
        stop.later()
        stop.obey()
        stop.now()
        stop.obey()


def test_what_is_ignored_stays_ignored(stop):
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with stop.listening():
            send("SIGUSR1")
            stop.later()
            assert stop.asked() is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_handlers_that_others_put_around_ours_go_when_training_begins(stop):
    with stop.listening():
        signal.signal(signal.SIGTERM, lambda *a: pytest.fail("another's handler"))
        stop.later()
        send()
        assert stop.asked() is signal.SIGTERM


def test_a_forked_child_dies_of_its_signal(stop):
    with stop.listening():
        child = os.fork()
        if not child:
            stop.later()
            send()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_a_thread_leaves_signals_alone(stop):
    handlers = []
    before = signal.getsignal(signal.SIGTERM)

    def inside():
        with stop.listening():
            stop.later()
            handlers.append(signal.getsignal(signal.SIGTERM))
        stop.now()

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_a_request_of_a_thread_is_its_own_and_kept_until_somebody_looks(stop):
    other = Stop()
    with stop.listening():
        thread = threading.Thread(target=other.ask)
        thread.start()
        thread.join()
        stop.obey()  # another's request
        assert stop.asked() is None
        other.ask(signal.SIGINT)  # the first one counts
        with pytest.raises(StoppedError, match="SIGTERM"):
            other.obey()
