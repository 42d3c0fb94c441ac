"""Every how many steps a callback acts."""


def check_interval(callback: str, every_n_steps: int) -> None:
    """Raises ValueError for an interval of no step; `callback` is its key in the config."""
    if every_n_steps < 1:
        raise ValueError(
            f"callbacks.{callback}.every_n_steps is {every_n_steps}; it must be at least 1 "
            f"(callbacks.{callback}=null leaves it out)"
        )
