"""How every entry point starts, and how it ends when it cannot go on."""

import errno
import functools
import os
import shlex
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sam_train.config_types import check_lowest, check_types, check_values
from sam_train.settings.arguments import parsed, prepared
from sam_train.settings.corrections import check_added, correction
from sam_train.settings.help_page import help_page
from sam_train.settings.missing import check_missing

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
_FULL = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "the disk of output_dir, HOME or TMPDIR")


def hydra_main(
    program: str,
    *,
    config_name: str,
    types: Mapping[str, Any],
    lowest: Mapping[str, int],
    may_lack: Collection[str] = (),
) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Makes an entry point of a function that takes the composed config.

    A config that cannot work is told before anything heavy is imported: `types` and `lowest` are
    for the keys that are no constructor's argument, `may_lack` for values that this entry point
    does not need. Arguments that Hydra cannot read and folders
    that it cannot make end in one sentence too.
    """

    def decorate(task: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(task)  # the configs are found from the task's module
        def job(cfg: DictConfig) -> None:
            with one_sentence_errors(program):
                check_added(HydraConfig.get().overrides.task, config_name=config_name)
                check_missing(cfg, may_lack)
                check_config(cfg, types=types, lowest=lowest)
                task(cfg)

        run = hydra.main(config_path="../configs", config_name=config_name, version_base="1.3")(job)

        def main() -> None:
            os.environ["HYDRA_FULL_ERROR"] = "1"  # it raises its errors instead of printing them
            with one_sentence_errors(program):
                sys.argv[1:] = prepared(sys.argv[1:])
                command = parsed(sys.argv[1:])
                if command.help:
                    print(help_page(config_name, groups=command.overrides))
                    return
            try:
                run()
            except (HydraException, ValueError, OSError, OmegaConfBaseException) as error:
                name = command.config_name or config_name
                sentence = correction(command, config_name=name) or _sentence_of_hydra(error)
                sys.exit(f"{program}: {sentence}")
            except KeyboardInterrupt:
                _end_interrupted(program)

        return main

    return decorate


def check_config(
    cfg: DictConfig, *, types: Mapping[str, Any], lowest: Mapping[str, int]
) -> dict[str, Any]:
    """The config as a plain container; raises a ValueError about the first thing that is wrong."""
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    check_values(values, types)
    check_lowest(values, lowest)
    check_types(values)
    return values


@contextmanager
def one_sentence_errors(program: str) -> Iterator[None]:
    """Ends with exit status 1 and one sentence for errors that the user can mend.

    Ctrl-C ends it with 130. Errors of the program itself keep their traceback.
    """
    try:
        yield
    except InstantiationException as error:
        sys.exit(f"{program}: {error.__cause__ or error}")
    except (ValueError, OSError, OmegaConfBaseException) as error:
        sys.exit(f"{program}: {_sentence(error)}")
    except KeyboardInterrupt:
        _end_interrupted(program)


def _end_interrupted(program: str) -> NoReturn:
    print(f"{program}: stopped by Ctrl-C", file=sys.stderr)
    sys.exit(128 + signal.SIGINT)


def _sentence(error: Exception) -> str:
    """The first line of an error; the system's own errors get a remedy."""
    if isinstance(error, OSError) and error.strerror is not None:
        named = error.filename2 or error.filename or _FULL.get(error.errno or 0)
        return ": ".join(filter(None, (named, error.strerror, _REMEDIES.get(error.errno or 0))))
    return (str(error).splitlines() or [type(error).__name__])[0]


def _sentence_of_hydra(error: Exception) -> str:
    """What is wrong with the arguments or with the folder of the run, without Hydra's advice."""
    if isinstance(error.__cause__, OSError):  # the log file cannot be written
        return _sentence(error.__cause__)
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return _sentence(error)
    text = str(error).partition("Config search path")[0].partition("See https://")[0]
    sentence = " ".join(text.strip().replace("\n\n", ". ").split())
    return f"{sentence}: check the arguments {shlex.join(sys.argv[1:])}"
