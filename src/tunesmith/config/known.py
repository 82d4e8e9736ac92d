"""The classes and functions that any configuration may name as a ``_target_``, by exact name.

The list stands in code, so that no configuration can extend it; it names only what does no more than its purpose when a
stranger chooses the arguments. A new option of tunesmith's own is one line in `OWN`. What belongs to the user, or is
missing here, is let through by ``--allow``: see `config/gate.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

OWN: Mapping[str, str] = {
    "tunesmith.backbone.custom": "Custom",
    "tunesmith.backbone.mnist_cnn": "MnistCnn",
    "tunesmith.backbone.timm.timm": "Timm",
    "tunesmith.backbone.tiny": "Tiny",
    "tunesmith.backbone.torchvision.torchvision": "Torchvision",
    "tunesmith.backbone.transformers.transformers": "Transformers",
    "tunesmith.cache.callback": "ActivationCache",
    "tunesmith.data.image.digits": "Digits",
    "tunesmith.data.text.hf_dataset": "HfDataset",
    "tunesmith.data.image.image_folder": "ImageFolder",
    "tunesmith.data.image.image_table": "ImageTable",
    "tunesmith.data.text.pair_table": "PairTable",
    "tunesmith.data.text.qa_table": "QaTable",
    "tunesmith.data.text.reviews": "Reviews",
    "tunesmith.data.image.solar_cells": "SolarCells",
    "tunesmith.data.split.split": "Split",
    "tunesmith.data.synthetic.synthetic": "Synthetic",
    "tunesmith.data.synthetic.synthetic_pairs": "SyntheticPairs",
    "tunesmith.data.synthetic.synthetic_text": "SyntheticText",
    "tunesmith.data.text.text_files": "TextFiles",
    "tunesmith.data.synthetic.synthetic_questions": "SyntheticQuestions",
    "tunesmith.data.synthetic.synthetic_tags": "SyntheticTags",
    "tunesmith.data.text.text_table": "TextTable",
    "tunesmith.data.text.token_table": "TokenTable",
    "tunesmith.data.image.torchvision_dataset": "TorchvisionDataset",
    "tunesmith.head.attention_pool": "AttentionPool",
    "tunesmith.head.cosine": "Cosine",
    "tunesmith.head.joint": "Joint",
    "tunesmith.head.language_model": "LanguageModel",
    "tunesmith.head.linear": "Linear",
    "tunesmith.head.logistic": "Logistic",
    "tunesmith.head.mlp": "MLP",
    "tunesmith.head.multi_stage": "MultiStage",
    "tunesmith.head.ridge": "Ridge",
    "tunesmith.head.tokens": "Tokens",
    "tunesmith.head.weighted_stages": "WeightedStages",
    "tunesmith.policy.chain": "Chain",
    "tunesmith.policy.gradual": "Gradual",
    "tunesmith.policy.ia3": "IA3",
    "tunesmith.policy.lora": "LoRA",
    "tunesmith.policy.phases": "Phases",
    "tunesmith.policy.surgical": "Surgical",
    "tunesmith.rates.head_multiplier": "HeadMultiplier",
    "tunesmith.rates.layer_decay": "LayerDecay",
    "tunesmith.rates.ramp": "Ramp",
    "tunesmith.rates.rules": "Rules",
    "tunesmith.rates.uniform": "Uniform",
    "tunesmith.run.callback.callback": "EMA Ingredients LearningRates ProgressBar",
    "tunesmith.run.callback.non_finite": "Finite",
    "tunesmith.run.callback.l2_sp": "L2SP",
    "tunesmith.run.resume.last_checkpoint": "LastCheckpoint",
    "tunesmith.run.callback.lr_find": "RateFinder",
    "tunesmith.run.assembly.trainer": "Trainer",
    "tunesmith.run.logger.wandb_logger": "wandb_logger",
    "tunesmith.sweep.search.grid": "Grid",
    "tunesmith.sweep.executor.local": "Local",
    "tunesmith.sweep.search.optuna": "Optuna",
    "tunesmith.sweep.search.paired": "Paired",
    "tunesmith.sweep.search.random": "Random",
    "tunesmith.sweep.executor.ray": "Ray",
    "tunesmith.sweep.executor.slurm": "Slurm",
    "tunesmith.task.metric.answer": "AnswerScore",
    "tunesmith.task.classification": "Classification",
    "tunesmith.task.metric.entity": "EntityScore WordAccuracy",
    "tunesmith.task.language_modelling": "LanguageModelling",
    "tunesmith.task.loss.loss": "BCE CrossEntropy Focal Ordinal",
    "tunesmith.task.metric.metric": "AbsoluteError Determination LevelError RootSquaredError",
    "tunesmith.task.multi_label": "MultiLabel",
    "tunesmith.task.ordinal": "Ordinal",
    "tunesmith.task.question_answering": "QuestionAnswering",
    "tunesmith.task.regression": "Regression",
    "tunesmith.task.seq2seq": "Seq2Seq",
    "tunesmith.task.optimization.sharded": "Sharded",
    "tunesmith.task.metric.perplexity": "Perplexity TokenAccuracy",
    "tunesmith.task.metric.text_metric": "Bleu Chrf Rouge",
    "tunesmith.task.writing": "Writing",
    "tunesmith.task.optimization.schedule": "constant cosine one_cycle step",
    "tunesmith.task.token_classification": "TokenClassification",
}
"""Of tunesmith, by module."""

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
    # Losses, then the parts of which `backbone=custom` can be made: modules that compute and do nothing else.
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
    # Those that talk to a server of the configuration's choice are left out.
    "lightning.pytorch.loggers": "CSVLogger TensorBoardLogger",
    "lightning.pytorch.profilers": "AdvancedProfiler PassThroughProfiler PyTorchProfiler SimpleProfiler",
    "lightning.pytorch.strategies": "DDPStrategy",
}
"""Of other libraries, by the module that they are imported from: classes alone."""

TARGETS = frozenset(
    f"{module}.{name}" for part in (OWN, OTHERS) for module, names in part.items() for name in names.split()
)
"""All of them, as dotted names."""

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
    "callback.*": (),
    "logger.*": ("folder", "record"),
    "cache": ("folder",),
    "sweep.searcher": ("space", "folder"),
    "sweep.executor": ("slots", "jobs", "folder"),
}
"""Arguments that `run/assembly/assemble.py` passes to the target at a config path, over and above its YAML.

They never stand in a YAML: a width, a class count or a parameter list is derived. A target takes those it names.
"""
