"""Next tokens, hidden words and blocks: pure functions, by the rules of those who thought of them."""

from __future__ import annotations

import pytest
import torch

from tunesmith.contract.batch import IGNORED
from tunesmith.data.text.language import Hiding, begun, continued, following, pack
from tunesmith.data.text.tokenizer import Tokenizer
from tunesmith.errors import ConfigError, DataError
from tunesmith.modality.text import TextPreprocess

LONG = torch.arange(5, 1005, dtype=torch.int32)[None]


@pytest.fixture
def tokenizer(small_text):
    return lambda name="gpt2", most=64: Tokenizer(TextPreprocess(name, small_text(name), "x", most, 18))


def test_each_token_is_to_give_the_next():
    assert following(torch.tensor([[2, 7, 3]])).tolist() == [7, 3, IGNORED]


def test_a_text_ends_where_it_is_learnt_and_not_where_it_is_gone_on_with(tokenizer):
    (learnt,), _ = continued(tokenizer(), [("the film",)])
    (prompt,), _ = begun(tokenizer(), [("the film",)])
    assert learnt[0].tolist() == [2, 15, 8, 3] and prompt[0].tolist() == [2, 15, 8]


def hiding(share=0.15, seed=0):
    return Hiding(share, mask=4, special=(0, 1, 2, 3, 4), vocabulary=2000, seed=seed)


def test_the_rule_of_bert():
    """15 % of the words, at least one; of these 80 % masked, 10 % any token, 10 % as they are."""
    kinds, total = [0, 0, 0], 0
    for row in range(60):
        hidden, target = hiding()(LONG, (0, row))
        chosen = target != IGNORED
        assert chosen.sum() == 150 and torch.equal(target[chosen], LONG[0][chosen].long())
        assert torch.equal(hidden[0][~chosen], LONG[0][~chosen])
        now, before = hidden[0][chosen], LONG[0][chosen]
        masked, same = (now == 4).sum(), (now == before).sum()
        kinds = [a + int(b) for a, b in zip(kinds, (masked, len(now) - masked - same, same), strict=True)]
        total += len(now)
    assert [count / total for count in kinds] == pytest.approx([0.8, 0.1, 0.1], abs=0.015)


def test_marks_are_never_hidden_and_one_word_always_is():
    for row in range(50):
        _, target = hiding()(torch.tensor([[2, 9, 8, 3, 0]], dtype=torch.int32), (0, row))
        assert (target != IGNORED).sum() == 1 and target[[0, 3, 4]].tolist() == [IGNORED] * 3
    assert (hiding()(torch.tensor([[2, 3]], dtype=torch.int32))[1] == IGNORED).all()


def test_what_is_hidden_follows_from_seed_epoch_and_row():
    def of(seed, *drawn_for):
        torch.rand(1)  # whatever else is drawn
        return hiding(seed=seed)(LONG, drawn_for or None)[0].tolist()

    assert of(0, 1, 2) == of(0, 1, 2)
    assert len({str(x) for x in (of(0, 1, 2), of(1, 1, 2), of(0, 2, 2), of(0, 1, 3))}) == 4
    assert of(0) == of(1)  # in evaluation from the text alone, so that runs are compared on the same


def test_a_tokenizer_without_a_mask_is_refused(tokenizer):
    own = tokenizer("bert")
    own._own.mask_token = None
    with pytest.raises(ConfigError, match=r"^Expected a tokenizer with a mask token [^\n]*$"):
        Hiding.of(own, 0.15, 0)


@pytest.mark.parametrize(("name", "ends"), [("gpt2", True), ("bert", False)])
def test_blocks_are_the_text_and_of_one_size(name, ends, tokenizer):
    own = tokenizer(name)
    text = "the film is good\n" * 9 + "so bad"
    blocks = pack(own, text, 8, ends)
    assert "".join(part for part, _ in blocks) == text
    assert [tokens.shape[1] for _, tokens in blocks] == [8] * 6 + [4]
    inner = [token for _, tokens in blocks for token in tokens[0].tolist()[1:-1]]
    assert inner == own.unmarked(text)[0]
    assert all(tokens[0, 0] == 2 and tokens[0, -1] == 3 for _, tokens in blocks)
    assert len(blocks[0][1]) == (2 if name == "bert" else 1)


def test_a_block_has_room_for_a_word(tokenizer):
    with pytest.raises(DataError, match=r"^Expected data.block_size to be at least 3, since 2 tokens mark [^\n]*$"):
        pack(tokenizer(), "the film", 2, True)
