"""Export a run's model as plain tensors, for other runs and other programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file
from torch import Tensor, nn

from tunesmith.atomic import atomic, write_text
from tunesmith.backbone.weights import OWN_HEAD, content_hash
from tunesmith.config.build import accepts
from tunesmith.errors import RunError
from tunesmith.run.assembly.rebuild import Rebuilt, rebuild
from tunesmith.run.exclusive import exclusive
from tunesmith.run.record.run_folder import shorten
from tunesmith.run.session import Session

SCHEMA = 1


def export(cfg: DictConfig, session: Session | None = None) -> Path:
    """Write a run's weights, adapters merged, as a .safetensors file, and their description as .json.

    The backbone's tensors keep the names of their library, so that the file serves as ``backbone.weights`` of another
    run and loads into the library's own model; names of the head's start with ``tunesmith.head.``.

    Args:
        cfg: ``run``, ``output``, ``checkpoint``.
        session: The command's session; ``None`` to read it from the environment.

    Returns:
        Path of the .safetensors file.

    Raises:
        RunError: The run folder cannot be used, or a file exists or cannot be written.
    """
    session = session or Session.read()
    output = Path(cfg.output).expanduser()
    beside = output.with_suffix(".json")
    _check_place(output, beside)
    with exclusive(session.stop):
        found = rebuild(cfg.run, cfg.checkpoint, session.trust)
    tensors = plain_tensors(found.task.backbone.net, found.task.get_submodule("head"))
    about = describe(found, tensors, output.name)
    try:
        with atomic(output) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})  # transformers requires it
        write_text(beside, json.dumps(about, indent=1) + "\n")
    except OSError as error:
        raise RunError(f"Expected to write {output} but got: {error.strerror}.") from error
    session.console.print(
        f"The {found.weights} weights of {shorten(found.folder)} are in {shorten(output)} ({len(tensors)} tensors, "
        f"{output.stat().st_size / 1e6:.1f} MB), described in {shorten(beside)}.",
        highlight=False,
        markup=False,
    )
    return output


def plain_tensors(net: nn.Module, head: nn.Module) -> dict[str, Tensor]:
    """Copy parameters and saved buffers of a network, adapters merged, and of a head, with prefixed names."""
    named = {**net.state_dict(), **{f"{OWN_HEAD}{name}": tensor for name, tensor in head.state_dict().items()}}
    # safetensors stores neither shared memory nor other memory orders than NCHW.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in named.items()}


def describe(found: Rebuilt, tensors: dict[str, Tensor], file: str) -> dict[str, object]:
    """Describe exported weights: how to prepare inputs, what to build, and what outputs mean."""
    spec, backbone = found.spec, found.cfg.backbone.copy()
    if accepts(backbone, "weights", found.trust):
        backbone.weights = file
    backbone.update({k: v for k, v in found.preprocess.backbone_options().items() if accepts(backbone, k, found.trust)})
    preprocess = asdict(found.preprocess)
    preprocess.pop("folder", None)  # a local path
    calibration = {"calibration": asdict(found.task.calibration)} if found.task.calibrates else {}
    return {
        "schema": SCHEMA,
        "run": found.record["id"],
        "weights": found.weights,
        "hash": content_hash(tensors),
        "input": spec.input,
        "preprocess": preprocess,
        "backbone": OmegaConf.to_container(backbone),
        "feature_dim": found.task.backbone.feature_dim,
        "head": OmegaConf.to_container(found.cfg.head),
        "target": spec.target,
        "class_names": list(spec.class_names),
        **calibration,
    }


def _check_place(output: Path, beside: Path) -> None:
    if output.suffix != ".safetensors":
        raise RunError(f"Expected output to end in .safetensors but got '{output}'.")
    if not output.absolute().parent.is_dir():
        raise RunError(f"Expected the folder of output to be there but {output.absolute().parent} is not.")
    for path in (output, beside):
        if path.exists():
            raise RunError(f"Expected no file at {path} but there is one; choose another output, or remove it.")
