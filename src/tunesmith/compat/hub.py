"""Downloads from the Hugging Face Hub that say quickly when there is no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tunesmith.compat.required import assign, require

TIMEOUT = 5.0
"""Seconds to wait for the Hub's first answer."""


@contextmanager
def quick_failure() -> Iterator[None]:
    """Ask once whether the Hub can be reached; if not, its library uses what it has in its cache, or fails at once.

    By itself the library asks six times for each of two file names, with growing pauses: 47 s until an error.

    Raises:
        ConnectionError: The Hub cannot be reached, and what was wanted is not in the cache.
        LibraryError: The library is not told by the name that we know to use its cache alone.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import LocalEntryNotFoundError

    require("huggingface_hub", constants, "HF_HUB_OFFLINE")
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except Exception as error:  # each version of the library has another HTTP client, with that client's own exceptions
        offline = constants.HF_HUB_OFFLINE
        assign("huggingface_hub", constants, "HF_HUB_OFFLINE", True)
        try:
            yield
        except LocalEntryNotFoundError:
            raise ConnectionError(f"{constants.ENDPOINT}: {error}") from error
        finally:
            assign("huggingface_hub", constants, "HF_HUB_OFFLINE", offline)
    else:
        yield
