"""Checkpoints: tensors and plain containers only, written atomically, with a manifest of digests."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors import SafetensorError
from torch import nn

from tunesmith.atomic import atomic, write_text
from tunesmith.config import renamed
from tunesmith.errors import RunError
from tunesmith.run.record import disk_space
from tunesmith.signals import Stop
from tunesmith.task.optimization.delta import complete

MANIFEST = "manifest.json"
POSITION = "resume"  # where a checkpoint that can be gone on from says where


class CheckpointIO(TorchCheckpointIO):
    """Saves atomically, notes step and digest in ``manifest.json`` beside it, and loads tensors only.

    Args:
        stop: The request to stop, which no save is cut short by.
    """

    def __init__(self, stop: Stop | None = None) -> None:
        super().__init__()
        self._stop = stop or Stop()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save one checkpoint, then the manifest: a checkpoint that the manifest does not vouch for is not whole.

        Raises:
            RunError: The disk has too little room, or is read-only; an older checkpoint of that name stays.
        """
        target = confined(Path(path))
        with self._stop.held(), disk_space.told(target, target.parent.parent):
            disk_space.check(target.parent, disk_space.size_of(checkpoint))
            self._save(checkpoint, target)

    def _save(self, checkpoint: dict[str, Any], target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.parent / MANIFEST).is_file():
            _write_manifest(
                target.parent, {}
            )  # so that a first save that is cut short can be told from a lost manifest
        with atomic(target) as temporary:
            torch.save(checkpoint, temporary)
            digest = _digest(temporary)
        manifest = read_manifest(target.parent)
        entry = {"step": checkpoint["global_step"], "epoch": checkpoint["epoch"], "blake2b": digest}
        position = checkpoint.get(POSITION, {})
        entry |= {key: position[key] for key in ("batch", "seconds") if key in position}
        manifest[target.name] = entry
        _write_manifest(target.parent, manifest)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a checkpoint onto the CPU, after its digest was found to hold."""
        return load(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint and its line in the manifest."""
        target = confined(Path(path))
        target.unlink(missing_ok=True)
        manifest = read_manifest(target.parent)
        if manifest.pop(target.name, None):
            _write_manifest(target.parent, manifest)


def confined(path: Path) -> Path:
    """The path itself, if it does not lead up and out of the folder that it begins with.

    Raises:
        RunError: It does: a checkpoint from elsewhere may say where others lie.
    """
    if ".." in path.parts or path.name == MANIFEST:
        raise RunError(f"Expected the path of a checkpoint without '..' but got {path}.")
    return path


def keep_as(path: Path, name: str) -> None:
    """Keep a checkpoint under a second name too, so that a new one under its own can fail.

    A checkpoint that is not what was written is not kept: what already has the second name is better. At every moment
    the manifest vouches for one of the two.

    Args:
        path: The checkpoint; nothing happens where there is none.
        name: The second name, in the same folder.
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
    """Whether a checkpoint is there and is what the manifest vouches for."""
    entry = read_manifest(path.parent).get(path.name)
    return entry is not None and path.is_file() and entry["blake2b"] == _digest(path)


def load(path: Path) -> dict[str, Any]:
    """Load a checkpoint onto the CPU.

    Args:
        path: The file; ``manifest.json`` beside it must vouch for it.

    Raises:
        RunError: The file is missing, is not in the manifest, is not what was written, or holds more than tensors and
            plain containers.
    """
    if not path.is_file():
        raise RunError(f"Expected a checkpoint at {path} but there is none.")
    if not holds(path):
        raise RunError(f"Expected {path} to be the checkpoint that {MANIFEST} vouches for but its digest is another.")
    try:
        # weights_only is passed although it is the default: an environment variable could switch the default off.
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, ValueError, EOFError) as error:  # by the file's kind
        raise RunError(f"Expected {path} to hold tensors and plain containers only but it holds more.") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("state_dict"), dict):
        raise RunError(f"Expected {path} to be a checkpoint, with the weights under 'state_dict', but it is none.")
    return renamed.checkpoint(loaded)


def load_weights(module: nn.Module, path: Path) -> None:
    """Put a checkpoint's weights into a module, every tensor of which must be there and no other.

    Args:
        module: Its backbone has the weights of the run's source, where the checkpoint leaves such out.
        path: The checkpoint.

    Raises:
        RunError: The checkpoint cannot be loaded, or does not fit.
    """
    put(module, load(path), path)


def put(module: nn.Module, checkpoint: dict[str, Any], path: Path) -> None:
    """Put the weights of a checkpoint that was loaded into a module, as `load_weights` does.

    Raises:
        RunError: It does not fit.
    """
    complete(checkpoint, module, str(path))
    module.load_state_dict(checkpoint["state_dict"], strict=True)


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the manifest of a checkpoint folder; empty where there is none.

    Raises:
        RunError: It is no manifest any more.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, dict[str, Any]] = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        raise RunError(f"Expected {path} to be JSON but got: {error}.") from error
    return manifest


def _write_manifest(folder: Path, manifest: dict[str, dict[str, Any]]) -> None:
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        # file_digest needs Python 3.11.
        digest = hashlib.blake2b(digest_size=16)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
