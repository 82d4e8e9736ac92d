"""Use what transformers does not document; imported only where one of its models is used."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from tunesmith.compat.required import require

require("transformers", PreTrainedModel, "_init_weights")


def init_weights(model: PreTrainedModel, part: nn.Module) -> None:
    """Initialise a part of a model at random, recursively, as the model's authors chose to."""
    part.apply(model._init_weights)
