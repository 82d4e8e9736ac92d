import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from tunesmith.compat import hub
from tunesmith.errors import LibraryError


@pytest.fixture
def unreachable(monkeypatch):
    class Session:
        def head(self, address, timeout):
            raise OSError("name or service not known")

    monkeypatch.setattr("huggingface_hub.get_session", Session)


def test_without_a_network_the_hub_is_asked_once(unreachable):
    asked = constants.HF_HUB_OFFLINE
    with pytest.raises(ConnectionError, match=r"huggingface.*name or service not known"), hub.quick_failure():
        assert constants.HF_HUB_OFFLINE
        raise LocalEntryNotFoundError("not in the cache")
    assert asked is constants.HF_HUB_OFFLINE


def test_without_a_network_the_cache_still_serves(unreachable):
    with hub.quick_failure():
        cached = "a file"
    assert cached


def test_other_errors_come_out_as_they_are(unreachable):
    with pytest.raises(KeyError), hub.quick_failure():
        raise KeyError("x")


def test_with_a_network_nothing_changes(monkeypatch):
    class Session:
        def head(self, address, timeout):
            assert address == constants.ENDPOINT

    monkeypatch.setattr("huggingface_hub.get_session", Session)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(LocalEntryNotFoundError), hub.quick_failure():
        assert not constants.HF_HUB_OFFLINE
        raise LocalEntryNotFoundError("x")


def test_a_version_without_the_switch_is_refused(unreachable, monkeypatch):
    monkeypatch.delattr(constants, "HF_HUB_OFFLINE")
    with pytest.raises(LibraryError, match="constants has no 'HF_HUB_OFFLINE'"), hub.quick_failure():
        raise LocalEntryNotFoundError("not in the cache")
    assert not hasattr(constants, "HF_HUB_OFFLINE")
