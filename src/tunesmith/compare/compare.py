"""Compare runs: group them by what differs, report mean, spread, rank and cost, and test the best two groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from tunesmith.atomic import write_bytes, write_text
from tunesmith.compare import group, runs, table
from tunesmith.compare.group import Comparison
from tunesmith.errors import RunError
from tunesmith.run.record.run_folder import shorten
from tunesmith.run.session import Session

ENDINGS = (".csv", ".md", ".html")


def compare(cfg: DictConfig, session: Session | None = None) -> Comparison:
    """Compare runs, print the table, and write the files that were asked for.

    Args:
        cfg: ``runs``, ``metric``, ``mode``, ``output``, ``plots``.
        session: What the command has of its own; ``None``, as from Python, to read it from what surrounds it.

    Raises:
        RunError: There are no runs, none is completed or has the metric, or a file cannot be written.
    """
    outputs = [Path(name).expanduser() for name in _listed(cfg.output)]
    for path in outputs:
        if path.suffix not in ENDINGS:
            raise RunError(f"Expected output to end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} but got '{path}'.")
    found = group.group(runs.read_all(runs.find(_listed(cfg.runs))), cfg.metric, cfg.mode)
    found = with_folds(found)
    console = (session or Session.read()).console
    for part in table.on_terminal(found):
        console.print(part, highlight=False)
    written = write(found, outputs, Path(cfg.plots).expanduser() if cfg.plots else None)
    if written:
        console.print(f"Written: {', '.join(map(shorten, written))}", highlight=False)
    return found


def with_folds(found: Comparison) -> Comparison:
    """Add metrics over the samples of all folds together, if the runs are folds."""
    if not any(run.replicate.fold is not None for each in found.groups for run in each.runs):
        return found
    from tunesmith.compare.out_of_fold import with_out_of_fold  # its libraries take seconds to import

    pairs = [with_out_of_fold(each) for each in found.groups]
    reasons = [reason for _, reason in pairs if reason]
    return replace(found, groups=tuple(each for each, _ in pairs), notes=(*found.notes, *reasons))


def write(found: Comparison, outputs: Sequence[Path], plots: Path | None) -> list[Path]:
    """Write a comparison's files.

    Args:
        found: The comparison.
        outputs: Files, in the format of their suffix ``.csv``, ``.md`` or ``.html``.
        plots: Folder for the plots; ``None`` for none.

    Returns:
        The files written.

    Raises:
        RunError: A folder cannot be written to.
    """
    writers: dict[str, Callable[[Comparison], str]] = {".csv": table.as_csv, ".md": table.as_markdown, ".html": _html}
    written = list(outputs)
    try:
        for path in outputs:
            path.absolute().parent.mkdir(parents=True, exist_ok=True)
            write_text(path, writers[path.suffix](found))
        if plots is not None:
            written += _images(found, plots)
    except OSError as error:
        raise RunError(f"Expected to write {error.filename} but got: {error.strerror}.") from error
    return written


def _html(found: Comparison) -> str:
    from tunesmith.compare import page, plot  # matplotlib takes a second to import

    return page.as_html(found, plot.draw_all(found))


def _images(found: Comparison, folder: Path) -> list[Path]:
    from tunesmith.compare import page, plot

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in plot.draw_all(found).items():
        paths.append(folder / f"{name}.png")
        write_bytes(paths[-1], page.png(figure))
    return paths


def _listed(value: str | Sequence[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)
