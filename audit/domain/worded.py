"""Errors that people read, said where no framework is known: a message id, and what belongs in its places."""

from __future__ import annotations


class WordedError(ValueError):
    """What cannot be, with a message id and its named places. Doors translate it; `str` is English."""

    def __init__(self, message: str, /, **places: object) -> None:
        super().__init__(message % places if places else message)
        self.message = message
        self.places = places


def message_id(message: str) -> str:
    """Mark a message for the translators and return it as it is."""
    return message
