"""How many threads a process computes with."""

import cv2
import torch


def set_threads(count: int | None) -> None:
    """Limits torch and OpenCV to `count` threads; None leaves them as they are.

    A process that forks others (`ddp_fork`, the local executor) must use one: the pools of
    OpenMP and OpenCV do not survive a fork, and the child hangs.
    """
    if count is not None:
        torch.set_num_threads(count)
        cv2.setNumThreads(count)
