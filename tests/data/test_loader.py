def test_memory_is_used_where_there_is_enough(squares, monkeypatch):
    monkeypatch.setattr("tunesmith.data.loader.cores", lambda: 64)
    roomy = squares(augment="none").train_dataloader()
    assert roomy.dataset.memory is not None
    assert roomy.num_workers == 0
    monkeypatch.setattr("tunesmith.data.loader.available_bytes", lambda: 4 * 30 * 3 * 8 * 8)
    tight = squares(augment="none").train_dataloader()
    assert tight.dataset.memory is None
    assert tight.num_workers == 8
    assert squares(augment="none", in_memory=True).train_dataloader().dataset.memory is not None
