"""Save and load checkpoints: tensors and plain containers only, written atomically, with a manifest of digests."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors import SafetensorError
from torch import nn
from typing_extensions import TypedDict

from tunesmith import recorded
from tunesmith.atomic import atomic, write_text
from tunesmith.config import renamed
from tunesmith.contract.checkpoint import Checkpoint
from tunesmith.errors import RunError
from tunesmith.run.record import disk_space
from tunesmith.signals import Stop
from tunesmith.task.optimization.delta import complete

MANIFEST = "manifest.json"
POSITION = "resume"
"""Key of the position in checkpoints that a run can resume from."""


class Entry(TypedDict, total=False):
    """A checkpoint's entry in the manifest: optimizer step, epoch, digest; and batch and seconds of training."""

    step: int
    epoch: int
    blake2b: str
    batch: int
    seconds: float


Manifest = dict[str, Entry]


class CheckpointIO(TorchCheckpointIO):
    """Saves atomically, records step and digest in ``manifest.json``, and loads tensors only.

    Args:
        stop: The command's stop request, which does not interrupt a save.
        inside: The run folder, where a recorded run goes on or is repeated: it saves nowhere else.
    """

    def __init__(self, stop: Stop | None = None, inside: Path | None = None) -> None:
        super().__init__()
        self._inside = inside
        self._stop = stop or Stop()

    def save_checkpoint(self, checkpoint: Checkpoint, path: str | Path, storage_options: object = None) -> None:
        """Save a checkpoint, then its entry in the manifest, without which it does not count as complete.

        Raises:
            RunError: The disk is full or read-only; an older checkpoint of that name is kept.
        """
        target = confined(Path(path), self._inside)
        with self._stop.held(), disk_space.told(target, target.parent.parent):
            disk_space.check(target.parent, disk_space.size_of(checkpoint))
            self._save(checkpoint, target)

    def _save(self, checkpoint: Checkpoint, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.parent / MANIFEST).is_file():
            # Distinguishes an interrupted first save from a lost manifest.
            _write_manifest(target.parent, {})
        with atomic(target) as temporary:
            torch.save(checkpoint, temporary)
            digest = _digest(temporary)
        manifest = read_manifest(target.parent)
        entry: Entry = {"step": checkpoint["global_step"], "epoch": checkpoint["epoch"], "blake2b": digest}
        if POSITION in checkpoint:
            entry["batch"], entry["seconds"] = (checkpoint[POSITION][key] for key in ("batch", "seconds"))
        manifest[target.name] = entry
        _write_manifest(target.parent, manifest)

    def load_checkpoint(self, path: str | Path, *args: object, **kwargs: object) -> Checkpoint:
        """Load a checkpoint onto the CPU after checking its digest."""
        return load(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and its entry in the manifest."""
        target = confined(Path(path), self._inside)
        target.unlink(missing_ok=True)
        manifest = read_manifest(target.parent)
        if manifest.pop(target.name, None):
            _write_manifest(target.parent, manifest)


def confined(path: Path, inside: Path | None = None) -> Path:
    """Return the path if it contains no ``..``, is not the manifest, and lies in a folder, links followed.

    Raises:
        RunError: It does not: a foreign checkpoint or configuration may name paths of its own.
    """
    if inside is not None and not path.resolve().is_relative_to(inside.resolve()):
        raise RunError(f"Expected the path of a checkpoint in {inside} but got {path}.")
    if ".." in path.parts or path.name == MANIFEST:
        raise RunError(f"Expected the path of a checkpoint without '..' but got {path}.")
    return path


def keep_as(path: Path, name: str) -> None:
    """Keep a checkpoint under a second name, so that the next save under its own name may fail.

    A missing or damaged checkpoint is not kept, and the file with the second name stays. At every moment the manifest
    lists at least one of the two.
    """
    if not holds(path):
        return
    with atomic(path.with_name(name)) as temporary:
        try:
            temporary.hardlink_to(path)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)
    manifest = read_manifest(path.parent)
    manifest[name] = manifest[path.name]
    _write_manifest(path.parent, manifest)


def holds(path: Path) -> bool:
    """Return whether a checkpoint exists and has the digest in the manifest."""
    entry = read_manifest(path.parent).get(path.name)
    return entry is not None and path.is_file() and entry["blake2b"] == _digest(path)


def load(path: Path) -> Checkpoint:
    """Load a checkpoint onto the CPU.

    Raises:
        RunError: The file is missing, is not in the manifest, was altered, or contains more than tensors and plain
            containers.
    """
    if not path.is_file():
        raise RunError(f"Expected a checkpoint at {path} but there is none.")
    if not holds(path):
        raise RunError(
            f"Expected {path} to match its digest in {MANIFEST} but it does not: it was altered or replaced."
        )
    try:
        # Passed although it is the default, which an environment variable can change.
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, ValueError, EOFError) as error:
        raise RunError(f"Expected {path} to hold tensors and plain containers only but it holds more.") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("state_dict"), dict):
        raise RunError(f"Expected {path} to be a checkpoint, with the weights under 'state_dict', but it is not.")
    return renamed.checkpoint(loaded)


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a checkpoint's weights into a module with exactly these tensors.

    Args:
        module: Task whose backbone has the weights of the run's source, which checkpoints may leave out.
        path: The checkpoint.

    Raises:
        RunError: The checkpoint cannot be loaded, or does not fit.
    """
    put(module, load(path), path)


def put(module: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Load the weights of a checkpoint in memory into a module, as `load_weights` does.

    Raises:
        RunError: It does not fit.
    """
    complete(checkpoint, module, str(path))
    module.load_state_dict(checkpoint["state_dict"], strict=True)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a checkpoint folder; empty if there is none.

    Raises:
        RunError: It is not a manifest.
    """
    path = folder / MANIFEST
    manifest = recorded.read_json(path, Manifest) if path.exists() else {}
    for name, entry in manifest.items():
        if not {"step", "blake2b"} <= entry.keys():
            raise RunError(f"Expected {path} to have step and blake2b of {name} but one is missing.")
    return manifest


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        # hashlib.file_digest needs Python 3.11.
        digest = hashlib.blake2b(digest_size=16)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
