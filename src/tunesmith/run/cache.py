"""List, verify or prune the cache."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig
from rich.table import Table

from tunesmith.cache.callback import place
from tunesmith.cache.plan import in_bytes, in_time
from tunesmith.cache.shard import BrokenShardError, Shard
from tunesmith.cache.store import Listed, Store
from tunesmith.errors import ConfigError
from tunesmith.run.session import Session


def cache(cfg: DictConfig, session: Session | None = None) -> list[Listed]:
    """List, verify or prune the entries of the cache.

    Args:
        cfg: ``action``, ``unused_days``, ``max_gb``, ``paths.cache``.
        session: The command's session; ``None`` to read it from the environment.

    Returns:
        The remaining entries, most recently used first.

    Raises:
        ConfigError: ``action=prune`` has no limit, or another action has one.
    """
    limits = [name for name in ("unused_days", "max_gb") if cfg[name] is not None]
    if (cfg.action == "prune") != bool(limits):
        raise ConfigError(
            f"Expected action=prune with unused_days or max_gb, but got action={cfg.action} "
            f"with {' and '.join(limits) or 'neither'}."
        )
    store, console = Store(place(cfg.paths.cache)), (session or Session.read()).console
    store.sweep_up()
    if cfg.action == "verify":
        for listed in store.entries():
            for name in verify(listed):
                console.print(f"Removed {listed.folder.name}/{name}: it was damaged.", highlight=False)
    elif cfg.action == "prune":
        for listed in surplus(list(store.entries()), cfg.unused_days, cfg.max_gb):
            store.remove(listed)
            console.print(f"Removed {listed.folder.name}, {in_bytes(listed.size)}.", highlight=False)
    left = list(store.entries())
    console.print(_table(left))
    console.print(f"{in_bytes(sum(listed.size for listed in left))} in {store.folder}", highlight=False)
    return left


def verify(listed: Listed) -> list[str]:
    """Read every file of an entry and remove damaged ones, which the next run computes again.

    Returns:
        The names of the removed files.
    """
    broken = []
    for path in sorted(listed.folder.glob("*.safetensors")):
        try:
            Shard(path)
        except BrokenShardError:
            path.unlink(missing_ok=True)
            broken.append(path.name)
    return broken


def surplus(entries: Sequence[Listed], unused_days: float | None, max_gb: float | None) -> list[Listed]:
    """Choose the entries to prune.

    Args:
        entries: Entries, most recently used first.
        unused_days: Prune entries unused for more days than this.
        max_gb: Of the others, prune the least recently used until the rest fits into this many GB.
    """
    chosen, size = [], 0
    for listed in entries:
        old = unused_days is not None and listed.age > 86_400 * unused_days
        if not old:
            size += listed.size
        if old or (max_gb is not None and size > max_gb * 1e9):
            chosen.append(listed)
    return chosen


def _table(entries: Sequence[Listed]) -> Table:
    table = Table(title="Cache")
    for name in ("entry", "backbone", "kept", "data"):
        table.add_column(name)
    for name in ("samples", "size", "last used"):
        table.add_column(name, justify="right")
    for listed in entries:
        about = listed.about
        used = f"{listed.age / 86_400:.0f} days ago" if listed.age > 172_800 else f"{in_time(listed.age)} ago"
        shown = (
            about.get("backbone", ""),
            about.get("kept", ""),
            about["data"],
            f"{about['rows']:,}",
            in_bytes(listed.size),
            used,
        )
        table.add_row(listed.folder.name[:8], *shown)
    return table
