import pytest
import torch

from tunesmith.data.sampler import POOL, EpochSampler, Key, Lengths, Stream, by_length


def order(sampler, epoch=0):
    sampler.set_epoch(epoch)
    return [k.position for k in sampler]


def test_order_is_a_function_of_seed_and_epoch():
    one, other = EpochSampler(50, seed=1), EpochSampler(50, seed=1)
    first = [order(one, e) for e in range(3)]
    assert [order(other, e) for e in (2, 0, 1)] == [first[2], first[0], first[1]]
    assert all(sorted(o) == list(range(50)) for o in first)
    assert first[0] != first[1] != first[2]
    assert order(EpochSampler(50, seed=2)) != first[0]


def test_order_neither_uses_nor_disturbs_the_global_streams(streams):
    before = streams()
    order(EpochSampler(10))
    assert streams() == before


def test_keys_carry_the_epoch_and_the_first_epoch_can_be_given():
    assert {k.epoch for k in EpochSampler(4, epoch=7)} == {7}
    assert [k.position for k in EpochSampler(20, epoch=7)] == order(EpochSampler(20), 7)


def test_without_shuffling_the_order_is_the_splits():
    assert list(EpochSampler(3, shuffle=False)) == [Key(0, 0), Key(0, 1), Key(0, 2)]


@pytest.mark.parametrize(("count", "world"), [(24, 2), (24, 4), (25, 4), (3, 8)])
def test_processes_together_see_what_one_process_sees(processes, count, world):
    batch = 3
    alone = order(EpochSampler(count, seed=4))
    parts = []
    for rank in range(world):
        processes(rank, world)
        sampler = EpochSampler(count, seed=4)
        parts.append(order(sampler))
        assert len(parts[-1]) == len(sampler)
    padded = [alone[i % count] for i in range(len(parts[0]) * world)]
    for step in range(0, len(parts[0]), batch):
        together = sorted(p for part in parts for p in part[step : step + batch])
        assert together == sorted(padded[step * world : (step + batch) * world])


@pytest.mark.parametrize("shuffle", [True, False])
def test_only_evaluation_marks_what_fills_up(processes, shuffle):
    keys = []
    for rank in range(4):
        processes(rank, 4)
        keys += list(EpochSampler(10, shuffle=shuffle))
    assert len(keys) == 12
    assert sum(k.padding for k in keys) == (0 if shuffle else 2)
    if not shuffle:
        assert sorted(k.position for k in keys if not k.padding) == list(range(10))


@pytest.mark.parametrize("world", [1, 2])
def test_the_first_epoch_can_begin_in_its_middle_and_only_that(processes, world):
    for rank in range(world):
        processes(rank, world)
        whole, later = EpochSampler(20, seed=1), EpochSampler(20, seed=1, epoch=3, skip=6)
        assert order(later, 3) == order(whole, 3)[6:]
        assert order(later, 4) == order(whole, 4)
        assert len(later) == len(whole)


CLASSES = torch.tensor([0] * 40 + [1] * 7 + [2] * 3)


def balanced_keys(sampler, epoch=0):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_a_balanced_epoch_has_equally_many_of_each_class():
    keys = balanced_keys(EpochSampler(50, classes=CLASSES))
    drawn = torch.tensor([k.position for k in keys])
    assert sorted(CLASSES[drawn].bincount().tolist()) == [16, 17, 17]
    often = drawn.bincount(minlength=50)
    for label in range(3):
        own = often[label == CLASSES]
        assert int(own.max() - own.min()) <= 1
    assert not torch.equal(CLASSES[drawn], CLASSES[drawn].sort().values)


def test_each_time_a_sample_comes_in_an_epoch_is_a_round_of_its_own():
    keys = balanced_keys(EpochSampler(50, classes=CLASSES))
    assert len({(k.position, k.round) for k in keys}) == 50
    assert {k.round for k in keys if CLASSES[k.position] == 2} == set(range(6))
    assert {k.round for k in EpochSampler(50)} == {0}


def test_the_balanced_order_is_a_function_of_seed_and_epoch(streams):
    before = streams()
    one, other = EpochSampler(50, seed=1, classes=CLASSES), EpochSampler(50, seed=1, classes=CLASSES)
    first = [balanced_keys(one, e) for e in range(3)]
    assert [balanced_keys(other, e) for e in (2, 0, 1)] == [first[2], first[0], first[1]]
    assert [k.position for k in first[0]] != [k.position for k in first[1]]
    assert streams() == before


def test_the_balanced_order_is_dealt_and_can_begin_in_its_middle(processes):
    alone = balanced_keys(EpochSampler(50, classes=CLASSES), 2)
    for rank in range(2):
        processes(rank, 2)
        assert balanced_keys(EpochSampler(50, classes=CLASSES), 2) == alone[rank::2]
        assert balanced_keys(EpochSampler(50, epoch=2, skip=5, classes=CLASSES), 2) == alone[rank + 10 :: 2]


def beside(sampler, epoch=0):
    sampler.set_epoch(epoch)
    return [k.streams["a"] for k in sampler]


def test_a_stream_goes_on_from_epoch_to_epoch_and_takes_each_of_its_samples_equally_often(streams):
    before = streams()
    sampler = EpochSampler(20, seed=1, streams={"a": Stream(7, 2)})
    drawn = [pair for epoch in range(7) for place in beside(sampler, epoch) for pair in place]
    assert drawn == [(i // 7, row) for i, (_, row) in enumerate(drawn)]  # 40 an epoch, so epochs end within turns
    turns = [[row for turn, row in drawn if turn == i] for i in range(40)]
    assert all(sorted(turn) == list(range(7)) for turn in turns) and turns[0] != turns[1]
    assert beside(sampler, 3) == beside(EpochSampler(20, seed=1, epoch=3, streams={"a": Stream(7, 2)}), 3)
    assert beside(sampler, 3) != beside(EpochSampler(20, seed=2, streams={"a": Stream(7, 2)}), 3)
    assert [k.position for k in sampler] == order(EpochSampler(20, seed=1), 3) and streams() == before


def test_a_stream_in_batches_of_its_like_is_dealt_and_can_begin_in_the_middle(processes):
    lengths = torch.arange(30) % 10
    stream = Stream(30, 2, Lengths(lengths, 4))
    shuffled = beside(EpochSampler(24, streams={"a": stream._replace(lengths=None)}), 1)
    alone = beside(EpochSampler(24, streams={"a": stream}), 1)
    assert sorted(p for place in alone for p in place) == sorted(p for place in shuffled for p in place)

    def spread(places):
        own = [[int(lengths[row]) for place in places[i : i + 4] for _, row in place] for i in range(0, 24, 4)]
        return sum(max(batch) - min(batch) for batch in own)

    assert spread(alone) < 0.5 * spread(shuffled)
    together = beside(EpochSampler(24, streams={"a": Stream(30, 2, Lengths(lengths, 8))}), 1)
    for rank in range(2):
        processes(rank, 2)
        assert beside(EpochSampler(24, streams={"a": stream}), 1) == together[rank::2]
        assert beside(EpochSampler(24, epoch=1, skip=5, streams={"a": stream}), 1) == together[rank + 10 :: 2]


def test_each_stream_draws_by_itself():
    alone = beside(EpochSampler(20, streams={"a": Stream(7, 2)}))
    both = [key.streams for key in EpochSampler(20, streams={"a": Stream(7, 2), "b": Stream(7, 2)})]
    assert [each["a"] for each in both] == alone != [each["b"] for each in both]
    assert all(key.streams == {} for key in EpochSampler(3))


def test_every_class_gets_the_odd_sample_in_its_turn():
    """50 samples of 3 classes are 17, 17 and 16: were it always the same class, its share would be another."""
    sampler, shares = EpochSampler(50, classes=CLASSES), []
    for epoch in range(60):
        shares.append(CLASSES[torch.tensor(order(sampler, epoch))].bincount())
        assert sorted(shares[-1].tolist()) == [16, 17, 17]
    short = (torch.stack(shares) == 16).sum(0)
    assert short.min() >= 10  # 20 are expected, with a deviation of 3.7


def test_a_class_is_gone_through_as_often_as_it_takes_and_each_time_in_another_order():
    classes = torch.tensor([0] * 9 + [1] * 3)
    keys = balanced_keys(EpochSampler(12, classes=classes))
    rare = [(k.round, k.position) for k in keys if classes[k.position] == 1]
    assert sorted(rare) == [(turn, position) for turn in range(2) for position in (9, 10, 11)]
    common = [k for k in keys if classes[k.position] == 0]
    assert len({k.position for k in common}) == 6 and {k.round for k in common} == {0}
    lone = balanced_keys(EpochSampler(5, classes=torch.tensor([0, 0, 0, 0, 3])))
    assert sorted(k.round for k in lone if k.position == 4) in ([0, 1], [0, 1, 2])


def test_pools_are_sorted_and_whole_batches_come_in_random_order():
    lengths = torch.arange(1000).flip(0) % 997
    generator = torch.Generator().manual_seed(0)
    places = by_length(lengths, 4, generator)
    assert sorted(places.tolist()) == list(range(1000))
    batches = [sorted(batch.tolist()) for batch in places.view(-1, 4)]
    pool = POOL * 4
    assert all(batch[0] // pool == batch[-1] // pool for batch in batches)
    for begin in range(0, 1000, pool):
        own = range(begin, begin + pool)
        expected = sorted(own, key=lambda place: -int(lengths[place]))
        wanted = sorted(sorted(expected[i : i + 4]) for i in range(0, pool, 4))
        assert sorted(batch for batch in batches if batch[0] in own) == wanted
    assert batches != sorted(batches)


def test_a_batch_that_is_not_full_comes_last():
    for count, batch in ((10, 4), (3, 4), (8, 4)):
        lengths = torch.arange(count)
        last = [
            by_length(lengths, batch, torch.Generator().manual_seed(seed))[count // batch * batch :].tolist()
            for seed in range(5)
        ]
        # The shortest of the pool, which is sorted from the longest.
        assert last == [list(range(count % batch))[::-1]] * 5
    assert by_length(torch.tensor([2, 2, 2]), 4, torch.Generator()).tolist() == [0, 1, 2]


def test_batches_by_length_are_those_of_all_processes_together_and_of_this_epoch(processes):
    lengths = Lengths(torch.arange(48) % 12, 4)
    alone = order(EpochSampler(48, seed=3, lengths=Lengths(lengths.of, 8)), 2)
    assert order(EpochSampler(48, seed=3, lengths=Lengths(lengths.of, 8)), 1) != alone
    assert sorted(alone) == list(range(48)) and alone != order(EpochSampler(48, seed=3), 2)
    for rank in range(2):
        processes(rank, 2)
        assert order(EpochSampler(48, seed=3, lengths=lengths), 2) == alone[rank::2]


def test_balanced_batches_by_length_keep_each_samples_round():
    keys = balanced_keys(EpochSampler(50, classes=CLASSES, lengths=Lengths(torch.arange(50), 5)))
    assert len({(k.position, k.round) for k in keys}) == 50
    assert {k.round for k in keys if CLASSES[k.position] == 2} == set(range(6))


def test_a_key_says_no_more_than_is_asked():
    assert Key(1, 2) == (1, 2, False, 0, {})
    assert list(EpochSampler(2, shuffle=False, epoch=4)) == [(4, 0, False, 0, {}), (4, 1, False, 0, {})]
    assert [k.position for k in EpochSampler(30)] == order(EpochSampler(30, seed=0, shuffle=True), 0)


def test_orders_are_those_that_recorded_runs_had():
    """Made by this sampler with torch 2.15: a run that is resumed or reproduced in years goes through the same."""
    assert order(EpochSampler(8, seed=3), 2) == [1, 7, 3, 4, 2, 5, 0, 6]
    keys = balanced_keys(EpochSampler(8, seed=3, classes=torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])), 2)
    assert [(k.position, k.round) for k in keys] == [
        *((3, 0), (5, 0), (4, 0), (7, 1)),
        *((0, 0), (5, 1), (7, 0), (6, 0)),
    ]
    by_lengths = EpochSampler(12, seed=3, lengths=Lengths(torch.arange(12) % 5, 2))
    assert order(by_lengths, 2) == [5, 10, 1, 11, 3, 8, 2, 7, 4, 9, 6, 0]
    assert beside(EpochSampler(4, seed=3, streams={"a": Stream(3, 2)}), 2) == [
        *(((5, 0), (5, 2)), ((6, 1), (6, 2)), ((6, 0), (7, 0)), ((7, 2), (7, 1))),
    ]
    stream = Stream(6, 2, Lengths(torch.arange(6), 2))
    assert beside(EpochSampler(4, seed=3, streams={"a": stream}), 2) == [
        *(((3, 5), (3, 4)), ((2, 3), (3, 3)), ((3, 2), (3, 1)), ((2, 0), (3, 0))),
    ]
