"""Shard weights, gradients and optimizer state over processes during a fit (FSDP).

Every process holds its shard of every tensor (torch's ``fully_shard``). A stage's weights are gathered before it runs,
forward or backward, and freed afterwards; its gradients are averaged over processes and sharded again. Parameters keep
their names, and each is frozen or trains on its own. Before and after the fit the module is whole, as on one device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import lightning
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from tunesmith.compat.torch import hooks, without_views
from tunesmith.contract.protocols import Backbone
from tunesmith.errors import PolicyError
from tunesmith.task.optimization.delta import whole

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import STEP_OUTPUT

    from tunesmith.task.base import Task


OptimizerState = dict[str, Any]
"""State of an optimizer, as torch returns it."""


@final
class Sharded(DDPStrategy):
    """A strategy that trains in shards; processes start, and batches are distributed, as with DDP.

    Raises:
        PolicyError: This version of Lightning does not shard the module when expected.
    """

    def __init__(self) -> None:
        super().__init__()
        self._plain: dict[nn.Module, _Plain] = {}

    def configure_ddp(self) -> None:
        """Shard the weights before a fit, the only time that Lightning calls this."""
        task = self._task()
        _as_on_the_first([*task.parameters(), *task.buffers()])
        self._plain = shard(task.backbone, task.get_submodule("head"), self.root_device)

    def _task(self) -> Task:
        from tunesmith.task.base import Task

        assert isinstance(self.lightning_module, Task)
        return self.lightning_module

    def setup(self, trainer: Trainer) -> None:
        """Set up; a resumed run has loaded its weights before, and loads its optimizer state afterwards."""
        super().setup(trainer)
        if trainer.state.fn == TrainerFn.FITTING and not self._plain:
            raise PolicyError(
                "Expected Lightning 2.6.*, which shards before it builds optimizers, for trainer=fsdp but got "
                f"{lightning.__version__}; use trainer=ddp."
            )

    def training_step(self, *args: object, **kwargs: object) -> STEP_OUTPUT:
        """Take a step with the first process's buffers, as under DDP: each process has its own statistics."""
        self._share_buffers()
        return super().training_step(*args, **kwargs)

    def validation_step(self, *args: object, **kwargs: object) -> STEP_OUTPUT:
        """Validate with the first process's buffers, as a checkpoint contains."""
        self._share_buffers()
        return super().validation_step(*args, **kwargs)

    def _share_buffers(self) -> None:
        if self._plain:
            parts = (self._task().get_submodule(name) for name in ("backbone", "head"))
            _as_on_the_first([buffer for part in parts for buffer in part.buffers()])

    def lightning_module_state_dict(self) -> dict[str, Tensor]:
        """Gather all weights on the CPU; call it on all processes."""
        return {name: whole(t).cpu() if self._plain else t for name, t in super().lightning_module_state_dict().items()}

    def optimizer_state(self, optimizer: Optimizer) -> OptimizerState:
        """Gather the optimizer's state on the CPU; call it on all processes."""
        state: OptimizerState = super().optimizer_state(optimizer)
        return {**state, "state": {i: {k: _kept(v) for k, v in of.items()} for i, of in state["state"].items()}}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Shard the optimizer's state like its weights."""
        states = [_dealt(s, o) for s, o in zip(checkpoint["optimizer_states"], self.optimizers, strict=True)]
        super().load_optimizer_state_dict({"optimizer_states": states})

    def on_exception(self, exception: BaseException) -> None:
        """Leave the shards as they are: the other processes may be gone."""
        self._plain = {}
        super().on_exception(exception)

    def teardown(self) -> None:
        """Make the module whole again at the end of the fit."""
        if self._plain:
            self.optimizers = []
            unshard(self._plain)
            self._plain = {}
        super().teardown()


@dataclass(frozen=True)
class _Plain:
    """A module before sharding: its class, attribute names, hooks, and memory layout of its weights.

    Attributes:
        added: Names of the attributes that sharding added.
    """

    kind: type[nn.Module]
    attributes: frozenset[str]
    hooks: Mapping[str, object]
    strides: Mapping[str, tuple[int, ...]]
    added: frozenset[str] = frozenset()

    @classmethod
    def of(cls, module: nn.Module) -> _Plain:
        strides = {name: p.stride() for name, p in module.named_parameters(recurse=False)}
        return cls(type(module), frozenset(vars(module)), hooks(module), strides)

    def restore(self, module: nn.Module) -> None:
        """Restore everything except the weights."""
        module.__class__ = self.kind
        for name in self.added & vars(module).keys():
            delattr(module, name)
        vars(module).update(self.hooks)


def shard(backbone: Backbone, head: nn.Module, device: torch.device) -> dict[nn.Module, _Plain]:
    """Shard the weights of a backbone and a head over all processes, stage by stage if stages are modules.

    Args:
        backbone: The backbone, a module on the device.
        head: The head, on the device.
        device: Device of this process.

    Returns:
        The state that `unshard` needs to undo it.
    """
    # Imports the compiler, which takes seconds.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    assert isinstance(backbone, nn.Module)
    called = backbone.called()
    members = [member for stage in backbone.stages for member in backbone.members(stage).items()]
    # Parts of a stage that are not called modules belong to the backbone as a whole.
    units = [
        m for name, m in members if isinstance(m, nn.Module) and name in called and any(True for _ in m.parameters())
    ]
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    plain = {module: _Plain.of(module) for root in (backbone, head) for module in root.modules()}
    for module in plain:
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.contiguous()  # NHWC cannot be sharded
    for unit in dict.fromkeys([*units, backbone, head]):
        unit.register_forward_hook(_own_memory)
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
    return {m: replace(was, added=frozenset(vars(m)) - was.attributes) for m, was in plain.items()}


def unshard(plain: Mapping[nn.Module, _Plain]) -> None:
    """Undo `shard`: whole weights in their former layout, and no hooks; call it on all processes."""
    made: dict[int, nn.Parameter] = {}
    for module, was in plain.items():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in made:
                full = torch.empty_strided(parameter.shape, was.strides[name], dtype=parameter.dtype)
                full.copy_(whole(parameter).detach())
                made[id(parameter)] = nn.Parameter(full, requires_grad=parameter.requires_grad)
            setattr(module, name, made[id(parameter)])
        was.restore(module)


def _own_memory(module: nn.Module, inputs: object, output: object) -> object:
    """Copy views: an in-place operation on one would silently detach it from the shards' own hooks."""
    return without_views(output)


@torch.no_grad()
def _as_on_the_first(tensors: Iterable[Tensor]) -> None:
    """Broadcast the first process's values, one dtype at a time."""
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault(tensor.dtype, []).append(tensor)
    for group in kinds.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        distributed.broadcast(flat, 0)
        for tensor, values in zip(group, torch.split(flat, [t.numel() for t in group]), strict=True):
            tensor.copy_(values.view_as(tensor))


def _kept(value: object) -> object:
    return whole(value).cpu() if isinstance(value, Tensor) else value


def _dealt(state: OptimizerState, optimizer: Optimizer) -> OptimizerState:
    from torch.distributed.tensor import DTensor, distribute_tensor

    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def share(value: object, parameter: object) -> object:
        if not (isinstance(value, Tensor) and isinstance(parameter, DTensor) and value.shape == parameter.shape):
            return value
        # No source rank: every process has loaded the same file.
        there = value.to(parameter.device)
        return distribute_tensor(there, parameter.device_mesh, parameter.placements, src_data_rank=None)

    dealt = {i: {k: share(v, parameters[i]) for k, v in of.items()} for i, of in state["state"].items()}
    return {**state, "state": dealt}
