"""Weights, gradients and the optimizer's state in shards, one a process, for the length of a fit: FSDP.

Every process holds its share of every tensor (torch's ``fully_shard``). Before a stage runs, forward or backward, its
weights are brought together, and let go when it is done; its gradients are averaged over processes and dealt out again.
Parameters keep their names, and each is frozen or trains for itself. Before the fit and after it the module is whole,
as on one device: weights are loaded, cached, tested and averaged as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import lightning
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from tunesmith.compat.torch import hooks, without_views
from tunesmith.errors import PolicyError
from tunesmith.task.optimization.delta import whole


@final
class Sharded(DDPStrategy):
    """Trains in shards; processes start, and batches are shared out, as with DDP.

    Raises:
        PolicyError: This version of Lightning does not let the module be sharded where it is expected to.
    """

    def __init__(self) -> None:
        super().__init__()
        self._plain: dict[nn.Module, _Plain] = {}

    def configure_ddp(self) -> None:
        """Deal out the weights of a module that is about to be fitted; Lightning calls it then, and only then."""
        task: Any = self.lightning_module
        _as_on_the_first([*task.parameters(), *task.buffers()])
        self._plain = shard(task.backbone, task.head, self.root_device)

    def setup(self, trainer: Trainer) -> None:
        """Set up; the checkpoint that a run goes on from was loaded before, its optimizer's state comes after."""
        super().setup(trainer)
        if trainer.state.fn == TrainerFn.FITTING and not self._plain:
            raise PolicyError(
                "Expected Lightning 2.6.*, which lets shards be made before optimizers, for trainer=fsdp but got "
                f"{lightning.__version__}; use trainer=ddp."
            )

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Take a step, with the first process's buffers, as under DDP: shares have statistics of their own."""
        self._share_buffers()
        return super().training_step(*args, **kwargs)

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """Validate what a checkpoint holds: the first process's buffers."""
        self._share_buffers()
        return super().validation_step(*args, **kwargs)

    def _share_buffers(self) -> None:
        if self._plain:
            task: Any = self.lightning_module
            _as_on_the_first([*task.backbone.buffers(), *task.head.buffers()])

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Bring all weights together, on the CPU; call it on all processes."""
        return {name: whole(t).cpu() if self._plain else t for name, t in super().lightning_module_state_dict().items()}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Bring the optimizer's state together, on the CPU; call it on all processes."""
        state: dict[str, Any] = super().optimizer_state(optimizer)
        return {**state, "state": {i: {k: _kept(v) for k, v in of.items()} for i, of in state["state"].items()}}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Deal out the optimizer's state as its weights are."""
        states = [_dealt(s, o) for s, o in zip(checkpoint["optimizer_states"], self.optimizers, strict=True)]
        super().load_optimizer_state_dict({"optimizer_states": states})

    def on_exception(self, exception: BaseException) -> None:
        """Leave the shards as they are: the other processes may not be there to bring them together."""
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
    """A module as it was before: its class, the names of its attributes, its hooks, how its weights lay in memory.

    Attributes:
        added: Names of the attributes that it then got; a test looks for any that it keeps.
    """

    kind: type[nn.Module]
    attributes: frozenset[str]
    hooks: Mapping[str, Any]
    strides: Mapping[str, tuple[int, ...]]
    added: frozenset[str] = frozenset()

    @classmethod
    def of(cls, module: nn.Module) -> _Plain:
        strides = {name: p.stride() for name, p in module.named_parameters(recurse=False)}
        return cls(type(module), frozenset(vars(module)), hooks(module), strides)

    def restore(self, module: nn.Module) -> None:
        """Put back all but the weights."""
        module.__class__ = self.kind
        for name in self.added & vars(module).keys():
            delattr(module, name)
        vars(module).update(self.hooks)


def shard(backbone: Any, head: nn.Module, device: torch.device) -> dict[nn.Module, _Plain]:
    """Deal out the weights of a backbone and a head to all processes, a stage at a time where stages are modules.

    Args:
        backbone: On the device.
        head: Likewise.
        device: Of this process.

    Returns:
        What `unshard` needs to undo it.
    """
    # Loads the compiler, in seconds: only where it is needed.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    called = backbone.called()
    members = [member for stage in backbone.stages for member in backbone.members(stage).items()]
    # What a stage has besides modules that are called as such goes with the backbone as a whole.
    stages = [
        m for name, m in members if isinstance(m, nn.Module) and name in called and any(True for _ in m.parameters())
    ]
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    plain = {module: _Plain.of(module) for root in (backbone, head) for module in root.modules()}
    for module in plain:
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.contiguous()  # NHWC cannot be dealt out
    for unit in dict.fromkeys([*stages, backbone, head]):
        unit.register_forward_hook(_own_memory)
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
    return {m: replace(was, added=frozenset(vars(m)) - was.attributes) for m, was in plain.items()}


def unshard(plain: Mapping[nn.Module, _Plain]) -> None:
    """Undo `shard`: whole weights, laid out as they were, and no hooks; call it on all processes."""
    made: dict[int, nn.Parameter] = {}
    for module, was in plain.items():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in made:
                full = torch.empty_strided(parameter.shape, was.strides[name], dtype=parameter.dtype)
                full.copy_(whole(parameter).detach())
                made[id(parameter)] = nn.Parameter(full, requires_grad=parameter.requires_grad)
            setattr(module, name, made[id(parameter)])
        was.restore(module)


def _own_memory(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Copy what is a view: an operation in place on one would cut it off from the shards' own hooks, in silence."""
    return without_views(output)


@torch.no_grad()
def _as_on_the_first(tensors: Iterable[Tensor]) -> None:
    """Give all processes the first one's values, a type at a time."""
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault(tensor.dtype, []).append(tensor)
    for group in kinds.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        distributed.broadcast(flat, 0)
        for tensor, values in zip(group, torch.split(flat, [t.numel() for t in group]), strict=True):
            tensor.copy_(values.view_as(tensor))


def _kept(value: Any) -> Any:
    return whole(value).cpu() if isinstance(value, Tensor) else value


def _dealt(state: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    from torch.distributed.tensor import DTensor, distribute_tensor

    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def share(value: Any, parameter: Any) -> Any:
        if not (isinstance(value, Tensor) and isinstance(parameter, DTensor) and value.shape == parameter.shape):
            return value
        # Without a source: every process has loaded the same file.
        there = value.to(parameter.device)
        return distribute_tensor(there, parameter.device_mesh, parameter.placements, src_data_rank=None)

    dealt = {i: {k: share(v, parameters[i]) for k, v in of.items()} for i, of in state["state"].items()}
    return {**state, "state": dealt}
