from __future__ import annotations

import torch

from tunesmith.modality.text import MODALITY, TextPreprocess

HOW = TextPreprocess("m", "/models/m", "d", 8, 30)


def test_where_a_tokenizer_lies_is_for_the_backbone_to_say():
    assert MODALITY.restored({"tokenizer": "m", "folder": "/elsewhere"}) is None
    assert HOW.backbone_options() == {}


def test_blank_texts():
    blank = HOW.blank(3, torch.zeros(1))
    assert {name: (tuple(t.shape), t.dtype) for name, t in blank.items()} == {
        "input_ids": ((3, 2), torch.int64),
        "attention_mask": ((3, 2), torch.int64),
    }


def test_texts_have_no_channels_and_are_no_files():
    assert MODALITY.channels(3) == 0 and MODALITY.files([("a",)]) == []
    assert MODALITY.content(("a", "b"), True, 1) == b"('a', 'b')" != MODALITY.content(("a b",), True, 1)
