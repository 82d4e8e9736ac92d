"""Make downloads from the Hugging Face Hub fail fast when there is no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tunesmith.compat.required import assign, require

TIMEOUT = 5.0
"""Seconds to wait for the Hub's first response."""


@contextmanager
def quick_failure() -> Iterator[None]:
    """Check once whether the Hub can be reached; if not, let its library use its cache only.

    On its own the library makes six attempts for each of two file names, with growing pauses: 47 s until it fails.

    Raises:
        ConnectionError: The Hub cannot be reached and the file is not cached.
        LibraryError: The library's offline switch has another name in this version.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import LocalEntryNotFoundError

    require("huggingface_hub", constants, "HF_HUB_OFFLINE")
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except Exception as error:  # the HTTP client, and so its exceptions, differs between versions
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
