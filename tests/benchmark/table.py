"""Start of a run on a table of ten million short texts: seconds and memory up to the first training batch.

Generates a CSV file with two columns in a temporary folder, and a tokenizer of its words. A first start reads, digests,
splits and tokenises the table and keeps what it made in a cache; a second start finds it there. Each is a process of
its own; its figures leave out what importing the libraries takes.

    python tests/benchmark/table.py                       # 1.3 GB of disk, 9 minutes of CPU, most for tokens
    python tests/benchmark/table.py --rows 200000         # for a look
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in "nrst"]
ROWS = 10_000_000
MAX_MB = 500


def generate(folder: Path, rows: int) -> None:
    """Write the table, and the files of a tokenizer."""
    draw = random.Random(0)
    with (folder / "t.csv").open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            file.writelines(
                f"{' '.join(draw.choices(WORDS, k=4))} {start + i},{draw.choice('abc')}\n" for i in range(count)
            )
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    own = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    own.save(str(folder / "tokenizer.json"))
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | named))


def peak() -> float:
    """Return the peak of resident memory so far in MB; pages of mapped files count."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def start(folder: Path) -> dict[str, float]:
    """Make the first training batch, and measure."""
    import sklearn.model_selection  # noqa: F401 - what is imported on the way is no part of the figures
    import transformers

    from tunesmith.cache.store import Store
    from tunesmith.cache.tokens import TokenCache
    from tunesmith.data.split.split import Split
    from tunesmith.data.text.text_table import TextTable
    from tunesmith.modality.text import TextPreprocess

    transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    before, begun = peak(), time.perf_counter()
    data = TextTable(file=str(folder / "t.csv"), split=Split(by="stratified"), batch_size=32)
    data.connect(TextPreprocess("words", str(folder), "0", max_length=16, vocabulary=len(WORDS) + 5))
    data.keep_tokens(TokenCache(Store(folder / "cache"), "auto", 50 * 10**9))
    data.setup("fit")
    ready, at = time.perf_counter(), peak()
    batch = next(iter(data.train_dataloader()))
    ended = time.perf_counter()
    figures = {"setup_s": ready - begun, "batch_s": ended - ready, "imports_mb": before, "setup_mb": at - before}
    return figures | {
        "peak_mb": peak() - before,
        "rows": len(data.table),
        "tokens": batch["input"]["input_ids"].numel(),
    }


def main() -> None:
    """Generate, start twice and print; exit code 1 where the second start takes more memory than asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=ROWS)
    arguments.add_argument("--folder", type=Path, help="measure one start on what was generated there")
    options = arguments.parse_args()
    if options.folder:
        print(json.dumps(start(options.folder)))
        return
    needed = 400 * options.rows
    with tempfile.TemporaryDirectory() as name:
        if shutil.disk_usage(name).free < needed:
            sys.exit(f"Expected {needed / 1e9:.1f} GB of free disk in {Path(name).parent}, so set TMPDIR to another.")
        folder = Path(name)
        generate(folder, options.rows)
        print(f"{options.rows:,} texts, {(folder / 't.csv').stat().st_size / 1e6:,.0f} MB")
        command = [sys.executable, __file__, "--folder", name]
        environment = os.environ | {"TRANSFORMERS_VERBOSITY": "error"}
        for which in ("first", "second"):
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
            found = json.loads(said.splitlines()[-1])
            print(
                f"{which} start: {found['setup_s']:,.1f} s to read, {found['batch_s']:.1f} s to the first batch; "
                f"{found['setup_mb']:,.0f} and {found['peak_mb']:,.0f} MB above the {found['imports_mb']:,.0f} MB of "
                "the imports"
            )
        kept = sum(file.stat().st_size for file in (folder / "cache").rglob("*") if file.is_file())
        print(f"cache: {kept / 1e6:,.0f} MB")
    if found["peak_mb"] > MAX_MB:
        sys.exit(f"Expected at most {MAX_MB} MB but got {found['peak_mb']:,.0f}.")


if __name__ == "__main__":
    main()
