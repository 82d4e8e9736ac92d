"""What tunesmith uses of transformers beyond its documentation; imported where a model of the library is at hand."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from tunesmith.compat.required import require

require("transformers", PreTrainedModel, "_init_weights")


def init_weights(model: PreTrainedModel, part: nn.Module) -> None:
    """Give a part of a model, and all in it, random weights as the model's authors chose them."""
    part.apply(model._init_weights)
