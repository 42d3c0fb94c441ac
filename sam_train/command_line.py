"""How every entry point ends when it cannot go on."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import InstantiationException
from omegaconf.errors import OmegaConfBaseException

_REMEDIES = {
    errno.ENOENT: "check the name",
    errno.ENAMETOOLONG: "check the name",
    errno.ELOOP: "mend the link",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "name a folder",
    errno.EEXIST: "name another place",
    errno.EACCES: "mend its permissions or name another place",
    errno.EROFS: "name a place that can be written",
    errno.ENOSPC: "make room and run again",
    errno.EDQUOT: "make room and run again",
}


@contextmanager
def one_sentence_errors(program: str) -> Iterator[None]:
    """Ends with exit status 1 and one sentence for errors that the user can mend.

    Errors of the program itself keep their traceback.
    """
    try:
        yield
    except InstantiationException as error:
        sys.exit(f"{program}: {error.__cause__ or error}")
    except (ValueError, OSError, OmegaConfBaseException) as error:
        sys.exit(f"{program}: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    """The first line of an error; the system's own errors get a remedy."""
    if isinstance(error, OSError) and error.filename is not None:
        remedy = _REMEDIES.get(error.errno or 0, "")
        return f"{error.filename2 or error.filename}: {error.strerror}" + (
            f": {remedy}" if remedy else ""
        )
    return (str(error).splitlines() or [type(error).__name__])[0]
