"""A process that trains a layer on an entry of 4 GB; `test_memory.py` looks at how much memory it takes.

Run as: python reader.py FOLDER frugal|ample. It prints the most memory that it had, in bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from tunesmith.cache.cached_split import CachedSplit, OpenEntry, Rows
from tunesmith.cache.store import Layout, Store

SHAPE = (64, 64, 64)
LAYOUT = Layout(4096, 64)  # rows of 1 MB, files of 64


def entry(folder: Path):
    return Store(folder).entry({"rows": LAYOUT.rows})


def main() -> None:
    folder, frugal = Path(sys.argv[1]), sys.argv[2] == "frugal"
    there, missing = entry(folder).load(LAYOUT)
    assert not missing
    rows = Rows(OpenEntry(list(there.values()), LAYOUT, np.arange(LAYOUT.rows), frugal), {"stage1": torch.float32})
    kept = CachedSplit(torch.zeros(1), [[rows]])
    layer = torch.nn.Conv2d(SHAPE[0], 2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    order = torch.randperm(LAYOUT.rows).tolist()
    for batch in DataLoader(Served(kept, order), 32):
        optimizer.zero_grad()
        layer(batch["stage1"]).square().mean().backward()
        optimizer.step()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) * 1024)


class Served(torch.utils.data.Dataset):
    def __init__(self, kept: CachedSplit, order: list[int]) -> None:
        self.kept, self.order = kept, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int):
        return self.kept.find(0, self.order[position])


if __name__ == "__main__":
    main()
