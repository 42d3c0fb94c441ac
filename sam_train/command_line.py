"""How every entry point ends when it cannot go on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import InstantiationException
from omegaconf.errors import OmegaConfBaseException


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
        sys.exit(f"{program}: {str(error).splitlines()[0]}")
