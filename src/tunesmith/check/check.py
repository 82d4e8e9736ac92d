"""Check data before training: files, duplicates, labels, classes and groups, in a report with the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table as Shown

from tunesmith.atomic import write_text
from tunesmith.check import copies, image, label, page
from tunesmith.check.finding import LEVELS, Finding
from tunesmith.check.page import Report
from tunesmith.compare.runs import find
from tunesmith.config.build import build
from tunesmith.data.image.module import ImageData
from tunesmith.errors import ConfigError, DataError, RunError
from tunesmith.modality import base as modalities
from tunesmith.run.exclusive import exclusive
from tunesmith.run.session import Session


def check(cfg: DictConfig, session: Session | None = None) -> Report:
    """Look at every image of a data source, print what was found, and write ``check.md`` and ``check.html``.

    Args:
        cfg: ``data``, ``near``, ``predictions``, ``max_duplicates``, ``output``.
        session: The command's session; ``None`` to read it from the environment.

    Raises:
        ConfigError: The data are not images.
        DataError: The data cannot be read at all, or hold more copies than ``max_duplicates``; in the latter case the
            report is written first.
        RunError: The report cannot be written.
    """
    session = session or Session.read()
    with exclusive(session.stop):
        data = build(cfg.data, session.trust)
        if not modalities.of(data.modality).listed:
            raise ConfigError("Expected data of images but got another kind.")
        data.setup()
        seen = image.see_all(data.table.samples)
    digests, whole = data.digests
    alike = copies.exact(seen, digests)
    pairs = copies.near(seen, digests) if cfg.near else []
    sentences = [image.sizes(seen)]
    if not whole:
        sentences.append("The files are large: copies were looked for by size and first 64 KiB.")
    found = [
        *image.findings(seen),
        *copies.findings(alike, pairs, data.indices),
        *label.findings(data.table, data.indices, alike),
        *_suspected(data, cfg.predictions),
    ]
    found.sort(key=lambda finding: LEVELS.index(finding.level))  # stable: kinds keep their order
    title = f"{len(data.table):,} images, split by {data.spec.split_unit}"
    balance = label.balance(data.table, data.indices)
    report = Report(title, tuple(sentences), balance, tuple(found), data.table, seen)
    show(report, _written(report, Path(cfg.output).expanduser()), session.console)
    surplus = copies.number(alike, pairs)
    if cfg.max_duplicates is not None and surplus > cfg.max_duplicates:
        raise DataError(f"Expected at most {cfg.max_duplicates} copies (max_duplicates) but found {surplus}.")
    return report


def _suspected(data: ImageData, runs: str | Sequence[str] | None) -> Iterator[Finding]:
    if runs is None:
        return
    found = label.suspected(data.table, find([runs] if isinstance(runs, str) else list(runs)))
    if found:
        yield found


def _written(report: Report, folder: Path) -> list[Path]:
    paths = [folder / "check.md", folder / "check.html"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (page.as_markdown(report), page.as_html(report)), strict=True):
            write_text(path, text)
    except OSError as error:
        raise RunError(f"Expected to write {error.filename} but got: {error.strerror}.") from error
    return paths


def show(report: Report, paths: Sequence[Path], console: Console) -> None:
    """Print one line per kind of finding, and where the full report is."""
    console.print(report.title, *report.sentences, sep="\n", highlight=False)
    if report.findings:
        table = Shown("", "found", "number", "such as")
        for finding in report.findings:
            first = finding.items[0]
            table.add_row(
                finding.level, finding.kind, f"{len(finding.items):,}", f"{report.named(first)}: {first.detail}"
            )
        console.print(table, highlight=False)
    else:
        console.print("Nothing was found that is wrong with them.")
    console.print(f"Written: {', '.join(map(str, paths))}", highlight=False)
