"""Transfer learning as the textbook writes it: a Dataset, a DataLoader, and a loop. What `cache.py` compares with.

    python tests/benchmark/textbook.py --train head --images 256

It prints, as JSON, the seconds of starting and of each image in training and in evaluation; of wall time, and of
CPU time with that of the loader's workers.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

NAME, BATCH, WORKERS = "tf_efficientnet_lite0", 32, 2


class Cells(Dataset):
    """Solar cells, functional or defective."""

    def __init__(self, files: list[Path], targets: list[int]) -> None:
        self.files, self.targets = files, targets
        self.transform = v2.Compose(
            [
                v2.PILToTensor(),
                v2.Resize((224, 224), interpolation=v2.InterpolationMode.BICUBIC),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.files[i]).convert("RGB")), self.targets[i]


def network(train: str) -> nn.Module:
    """Only ``head``, the ``last`` two stages, or ``all`` of it trains. Pretrained weights would be as fast."""
    model = timm.create_model(NAME, num_classes=2)
    trains = {"head": ("classifier",), "last": ("blocks.6", "conv_head", "bn2", "classifier"), "all": ("",)}[train]
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(trains)
    return model


def clock() -> tuple[float, float]:
    """Wall time and CPU time, of this process and of the workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used)


def since(start: tuple[float, float], count: int = 1) -> tuple[float, float]:
    """Seconds since a moment, for each of several images."""
    wall, cpu = clock()
    return (wall - start[0]) / count, (cpu - start[1]) / count


def main() -> None:
    """Train for a part of an epoch, evaluate a part of it, and print what each image took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--train", choices=("head", "last", "all"), default="head")
    arguments.add_argument("--images", type=int, default=256)
    options = arguments.parse_args()
    begun = (time.perf_counter() - time.process_time(), 0.0)  # the imports count
    dataset = cells(options.images)
    model = network(options.train)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    found = {"start": since(begun)}

    start = clock()
    model.train()
    for images, targets in DataLoader(dataset, BATCH, shuffle=True, num_workers=WORKERS):
        optimizer.zero_grad()
        loss = loss_of(model(images), targets)
        loss.backward()
        optimizer.step()
    found["train"] = since(start, len(dataset))

    start, right = clock(), 0
    model.eval()
    with torch.no_grad():
        for images, targets in DataLoader(dataset, BATCH, num_workers=WORKERS):
            right += int((model(images).argmax(1) == targets).sum())
    found["evaluate"] = since(start, len(dataset))
    print(json.dumps(found))


def cells(count: int) -> Cells:
    """So many of the set, at random."""
    root = Path(next(iter(find_spec("elpv_dataset").submodule_search_locations))) / "data"
    lines = [line.split() for line in (root / "labels.csv").read_text().splitlines() if line.strip()]
    chosen = random.Random(0).sample(lines, count)
    return Cells(
        [root / name for name, _, _ in chosen], [int(float(probability) >= 0.5) for _, probability, _ in chosen]
    )


if __name__ == "__main__":
    main()
