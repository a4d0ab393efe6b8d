"""The few errors that callers catch.

Each carries one sentence for a person: what is wrong, in which file, and what to do about it. A broken
contract between functions (a wrong shape, say) is a plain ``ValueError`` instead.
"""


class MorphkitError(Exception):
    """Something that the user can mend; the command line prints it and exits with `exit_code`."""

    exit_code = 1


class BadInputError(MorphkitError):
    """A file that cannot be used: not an image, a corrupt mesh, NaNs, an unknown model layout."""

    exit_code = 2


class NoFaceError(BadInputError):
    """A photo, or a scan's rendered views, in which no face was found."""


class RejectedScanError(BadInputError):
    """A scan whose geometry was refused by cleaning."""


class RegistrationError(MorphkitError):
    """A registration that could not be carried out."""


class MissingDependencyError(MorphkitError, ImportError):
    """An optional package is needed and absent; the message says what to install."""


class OutputError(MorphkitError):
    """A place that results cannot be written to.

    Attributes
    ----------
    lasting : whether the next result will not fit either: a full disk, say, but not a missing permission.
    """

    def __init__(self, message: str, lasting: bool = False) -> None:
        super().__init__(message, lasting)  # both, or a copy from another process would lack one
        self.lasting = lasting

    def __str__(self) -> str:
        """Return the sentence."""
        return str(self.args[0])
