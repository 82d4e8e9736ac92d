import torch

from tunesmith.backbone.transformers.transformers import Transformers


@torch.no_grad()
def test_the_decoder_reads_the_text_a_token_behind(small_text):
    """What a token of the decoder has seen of the text itself are those before it; of the encoder, all."""
    backbone = Transformers(small_text("bart"), weights=None).eval()
    tokens = torch.tensor([[2, 6, 7, 8, 3]])
    state = backbone.prefix(1)({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)})
    assert set(state) == {"hidden", "mask", "target"}
    begun = backbone.prefix(1)({"input_ids": tokens.roll(1), "attention_mask": torch.ones_like(tokens)})
    assert torch.equal(state["target"], begun["hidden"]) is False  # the tables of positions differ
    shifted = backbone._family.shifted(backbone.net, tokens, torch.ones_like(tokens))
    assert shifted.tolist() == [[3, 2, 6, 7, 8]]
    assert {"memory", "hidden", "mask"} == set(
        backbone.prefix(len(backbone.stages))({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)})
    )


def test_mbart_begins_with_the_language_that_ends_the_text(small_text):
    backbone = Transformers(small_text("mbart"), weights=None)
    tokens, mask = torch.tensor([[6, 7, 3, 9], [6, 3, 8, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    assert backbone._family.shifted(backbone.net, tokens, mask).tolist() == [[9, 6, 7, 3], [8, 6, 3, 8]]
