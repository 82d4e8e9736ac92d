import pytest
import torch

from tunesmith.data import ragged
from tunesmith.data.ragged import Ragged, sizes


def tokens(lengths, rows=2):
    return [torch.arange(rows * n, dtype=torch.int32).view(rows, n) + n for n in lengths]


def maps(shapes, dtype=torch.float32):
    return [torch.arange(int(torch.tensor(shape).prod())).to(dtype).view(shape) for shape in shapes]


CASES = {
    "tokens": tokens([3, 1, 0, 4]),
    "tokens of one length": tokens([3, 3]),
    "one row": tokens([3]),
    "places": [t.T.contiguous() for t in tokens([3, 1, 5])],
    "activations": maps([(4, 3, 5), (4, 2, 6), (4, 1, 1)]),
    "half precision": maps([(4, 3), (4, 2)], torch.bfloat16),
    "nothing in some dimension": maps([(0, 3), (0, 2), (4, 1)]),
    "vectors": maps([(3,), (0,), (2,)]),
    "numbers": maps([(), ()], torch.int64),
    "nothing": [],
}


@pytest.mark.parametrize("spool", [ragged.SPOOL, 0])
@pytest.mark.parametrize("case", CASES)
def test_rows_are_what_was_packed(case, spool, monkeypatch):
    monkeypatch.setattr(ragged, "SPOOL", spool)
    monkeypatch.setattr(ragged, "BLOCK", 2)
    rows = CASES[case]
    packed = Ragged.of(iter(rows))
    again = Ragged.unpack(packed.pack("a"), "a")
    assert len(packed) == len(rows)
    for found in (packed, again):
        for own, row in zip(found, rows, strict=True):
            assert own.dtype == row.dtype and own.shape == row.shape and torch.equal(own, row)
    assert packed.offsets.dtype == torch.int64
    if rows and rows[0].ndim:
        assert sizes(packed).tolist() == [row.shape[-1] for row in rows] == sizes(rows).tolist()


def test_one_shape_stands_for_all_where_one_dimension_differs():
    assert Ragged.of(tokens([3, 1])).shapes.tolist() == [[2, -1]]
    assert len(Ragged.of(maps([(4, 3, 5), (4, 2, 6)])).shapes) == 2


def test_some_rows_and_their_sizes():
    found = Ragged.of(tokens([3, 1, 0, 4]))
    assert [own.shape[1] for own in found[1:3]] == [1, 0] and found[-1].shape == (2, 4)
    rows = torch.tensor([3, 0, 3]).numpy()
    assert found.sizes(rows).tolist() == sizes(tokens([3, 1, 0, 4]), rows).tolist() == [4, 3, 4]
    with pytest.raises(IndexError, match=r"below 4 but got 4"):
        found[4]


def test_rows_are_views_of_the_values():
    found = Ragged.of(tokens([3, 1]))
    found.values[0] = 7
    assert found[0][0, 0] == 7
