"""Downloads from the Hugging Face Hub that say quickly when there is no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

TIMEOUT = 5.0
"""Seconds to wait for the Hub's first answer."""


@contextmanager
def quick_failure() -> Iterator[None]:
    """Ask once whether the Hub can be reached; if not, its library uses what it has in its cache, or fails at once.

    By itself the library asks six times for each of two file names, with growing pauses: 47 s until an error.

    Raises:
        ConnectionError: The Hub cannot be reached, and what was wanted is not in the cache.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except Exception as error:  # each version of the library has another HTTP client, with that client's own exceptions
        offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            yield
        except LocalEntryNotFoundError:
            raise ConnectionError(f"{constants.ENDPOINT}: {error}") from error
        finally:
            constants.HF_HUB_OFFLINE = offline
    else:
        yield
