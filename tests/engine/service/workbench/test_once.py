"""What several threads ask for is made once."""

import threading

import pytest

from data_engine.service.workbench.once import Once


def test_threads_that_ask_at_the_same_time_share_what_is_made() -> None:
    once, made, waiting = Once[list](2), [], threading.Barrier(4)

    def make() -> list:
        made.append(1)
        return [1]

    def ask(answers: list) -> None:
        waiting.wait()
        answers.append(once.get("key", make))

    answers: list = []
    threads = [threading.Thread(target=ask, args=(answers,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1
    assert all(answer is answers[0] for answer in answers)


def test_what_was_not_asked_for_longest_is_made_anew() -> None:
    once = Once[object](2)
    first = once.get("a", object)
    once.get("b", object)
    assert once.get("a", object) is first
    once.get("c", object)  # in place of b
    assert once.get("a", object) is first


def test_what_could_not_be_made_is_tried_again() -> None:
    once = Once[int](2)
    with pytest.raises(ZeroDivisionError):
        once.get("key", lambda: 1 // 0)
    assert once.get("key", lambda: 1) == 1
