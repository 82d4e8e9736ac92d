"""List the classes and functions that any configuration may name as a ``_target_``, by exact name.

Tunesmith's own are those that the shipped configurations name; those of other libraries are in `OTHERS`. A user's
configuration extends neither list: they hold only targets that stay harmless when a stranger chooses the arguments.
Targets that belong to the user, or are missing here, pass by ``--allow``: see `config/gate.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from tunesmith.config.find import package_conf

OTHERS: Mapping[str, str] = {
    "torch.optim": """
        ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax NAdam RAdam RMSprop Rprop SGD
        """,
    "timm.optim": """
        AdaBelief AdamP Adan Adopt LaProp Lamb Lars Lion MADGRAD Mars NAdamW NvNovoGrad RMSpropTF SGDP SGDW
        """,
    "torch.optim.lr_scheduler": """
        ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR LinearLR MultiStepLR OneCycleLR
        PolynomialLR ReduceLROnPlateau StepLR
        """,
    # Losses, then building blocks for `backbone=custom`: modules that only compute.
    "torch.nn": """
        BCELoss BCEWithLogitsLoss CrossEntropyLoss GaussianNLLLoss HuberLoss KLDivLoss L1Loss MSELoss
        MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss PoissonNLLLoss SmoothL1Loss SoftMarginLoss
        AdaptiveAvgPool2d AdaptiveMaxPool2d AvgPool2d BatchNorm1d BatchNorm2d Conv2d ConvTranspose2d Dropout Dropout2d
        ELU Flatten GELU GroupNorm Hardsigmoid Hardswish Identity InstanceNorm2d LayerNorm LeakyReLU Linear MaxPool2d
        Mish PReLU PixelShuffle PixelUnshuffle RMSNorm ReLU ReLU6 SELU Sequential SiLU Sigmoid Softmax Softplus Tanh
        Unflatten Upsample ZeroPad2d
        """,
    "timm.layers": "BatchNormAct2d ConvNormAct SqueezeExcite",
    "torchmetrics.classification": """
        BinaryAUROC BinaryAccuracy BinaryAveragePrecision BinaryCalibrationError BinaryCohenKappa BinaryF1Score
        BinaryFBetaScore BinaryHammingDistance BinaryJaccardIndex BinaryMatthewsCorrCoef BinaryPrecision BinaryRecall
        BinarySpecificity
        MulticlassAUROC MulticlassAccuracy MulticlassAveragePrecision MulticlassCalibrationError MulticlassCohenKappa
        MulticlassF1Score MulticlassFBetaScore MulticlassHammingDistance MulticlassHingeLoss MulticlassJaccardIndex
        MulticlassMatthewsCorrCoef MulticlassPrecision MulticlassRecall MulticlassSpecificity
        MultilabelAUROC MultilabelAccuracy MultilabelAveragePrecision MultilabelCoverageError MultilabelExactMatch
        MultilabelF1Score MultilabelFBetaScore MultilabelHammingDistance MultilabelJaccardIndex
        MultilabelMatthewsCorrCoef MultilabelPrecision MultilabelRankingAveragePrecision MultilabelRankingLoss
        MultilabelRecall MultilabelSpecificity
        """,
    "torchmetrics.regression": """
        ConcordanceCorrCoef CosineSimilarity ExplainedVariance KendallRankCorrCoef LogCoshError MeanAbsoluteError
        MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogError PearsonCorrCoef R2Score RelativeSquaredError
        SpearmanCorrCoef SymmetricMeanAbsolutePercentageError WeightedMeanAbsolutePercentageError
        """,
    "lightning.pytorch": "Trainer",
    "lightning.pytorch.callbacks": """
        DeviceStatsMonitor EarlyStopping GradientAccumulationScheduler LearningRateMonitor ModelCheckpoint ModelSummary
        OnExceptionCheckpoint RichModelSummary RichProgressBar StochasticWeightAveraging TQDMProgressBar
        ThroughputMonitor Timer
        """,
    # Loggers that send data to a server named in the configuration are left out.
    "lightning.pytorch.loggers": "CSVLogger TensorBoardLogger",
    "lightning.pytorch.profilers": "AdvancedProfiler PassThroughProfiler PyTorchProfiler SimpleProfiler",
    "lightning.pytorch.strategies": "DDPStrategy",
}
"""Classes of other libraries, by the module they are imported from."""


@functools.cache
def own() -> frozenset[str]:
    """Return tunesmith's own targets, as dotted names; a new option needs a .py and a .yaml, and nothing here."""
    texts = (path.read_text(encoding="utf-8") for path in package_conf().rglob("*.yaml"))
    return frozenset(target for text in texts for target in re.findall(r"_target_: *(tunesmith(?:\.\w+)+)", text))


@functools.cache
def known() -> frozenset[str]:
    """Return all known targets, as dotted names."""
    return own() | {f"{module}.{name}" for module, names in OTHERS.items() for name in names.split()}


SUPPLIED: Mapping[str, tuple[str, ...]] = {
    "backbone": (),
    "data": (),
    "policy": (),
    "policy.phases.*.optimizer": ("params",),
    "policy.phases.*.scheduler": ("optimizer", "total_steps", "steps_per_epoch"),
    "rates": (),
    "loss": ("train_counts", "train_size"),
    "head": ("feature_dim", "num_outputs", "stage_dims", "map_info", "target", "lm_head"),
    "task": ("backbone", "head", "loss", "metrics", "table", "optimizer", "scheduler", "spec"),
    "task.metrics.*": ("num_classes", "num_labels", "num_outputs", "class_names"),
    "optimizer": ("params",),
    "scheduler": ("optimizer", "total_steps", "steps_per_epoch"),
    "trainer": ("callbacks", "logger", "default_root_dir"),
    "callback.*": ("stop", "console"),
    "logger.*": ("folder", "record"),
    "cache": ("folder", "console"),
    "sweep.searcher": ("space", "folder"),
    "sweep.executor": ("slots", "jobs", "folder"),
}
"""Arguments that `run/assembly/assemble.py` passes to the target at a config path, beyond its YAML.

They never appear in a YAML: a width, a class count or a parameter list is derived. A target gets those that it names.
"""
