"""Define what sweep.json and the lines of journal.jsonl hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing_extensions import NotRequired, TypedDict

from tunesmith.sweep.protocol import Status


class Content(TypedDict):
    """What a sweep is.

    Attributes:
        name: Name of its runs.
        command: Command line.
        search: What is searched and how; it must be the same for every launch in one folder.
        values: Values of every key, to name those that differ.
        jobs: Changes of each job, if known before the first starts; a longer list may continue a shorter one.
    """

    name: str
    command: str
    search: Mapping[str, str]
    values: NotRequired[Mapping[str, str]]
    jobs: NotRequired[Sequence[Sequence[str]]]


class Manifest(Content):
    """The content of sweep.json."""

    schema: int
    id: str
    created: str


class Event(TypedDict):
    """A line of the journal."""

    event: str
    job: int
    round: int
    changes: NotRequired[Sequence[str]]
    folder: NotRequired[str]
    status: NotRequired[Status]
    seconds: NotRequired[float]
    reason: NotRequired[str]
