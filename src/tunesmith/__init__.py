"""Fine-tune pretrained models as Hydra-composed Lightning experiments."""

import time

__version__ = "0.1.0"

STARTED = time.monotonic()
"""When the process began to load tunesmith, in seconds of the monotonic clock; run.json's import time starts here."""
