from __future__ import annotations

import torch

from tunesmith.backbone.aside import MAP, STAGE, Aside

KEPT = {f"{STAGE}0": torch.zeros(2, 3), f"{STAGE}10": torch.ones(2, 4), f"{MAP}1": torch.ones(2, 3, 4, 4), "stage2": 0}


def test_what_is_wanted_of_earlier_stages_is_taken_and_given_by_its_number():
    aside = Aside(stage_features=True, wanted=(1,))
    aside.take(KEPT)
    assert list(aside.pooled) == [0, 10] and list(aside.maps) == [1]
    assert aside.given().keys() == KEPT.keys() - {"stage2"}
    assert all(aside.given()[name] is KEPT[name] for name in aside.given())


def test_what_is_not_wanted_stays_where_it_is():
    aside = Aside(stage_features=False, wanted=(0,))
    aside.take(KEPT)
    assert aside.given() == {}
