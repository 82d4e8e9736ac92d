"""Each name list equals the signature that the configuration check reads from the class that it describes."""

import pytest

from tunesmith.config.check.signature import read
from tunesmith.data import arguments

ROOM = "tunesmith.data"


@pytest.mark.parametrize(
    ("names", "target"),
    [
        ("DataArguments", "module.TableData"),
        ("ImageArguments", "image.module.ImageData"),
        ("TextArguments", "text.module.TextData"),
        ("QuestionArguments", "text.questions.QuestionData"),
        ("PairArguments", "text.pair_data.PairData"),
        ("TextTableArguments", "text.text_table.TextTable"),
    ],
)
def test_the_names_are_those_of_the_signature(names, target):
    listed, signature = getattr(arguments, names), read(f"{ROOM}.{target}")
    assert listed.__annotations__.keys() == signature.parameters.keys()
    assert not signature.open


def test_images_with_masks_take_all_but_what_moves_pixels():
    named = arguments.MaskedArguments.__annotations__.keys()
    assert arguments.ImageArguments.__annotations__.keys() - named == {"augment", "test_views"}


def test_questions_state_the_length_themselves():
    named = arguments.WindowArguments.__annotations__.keys()
    assert arguments.TextArguments.__annotations__.keys() - named == {"max_length"}
