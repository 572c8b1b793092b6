"""The one error type that is meant for the user's eyes."""


class TramaError(Exception):
    """Something a user can mend: the message names file and key, what is wrong, what to do."""
