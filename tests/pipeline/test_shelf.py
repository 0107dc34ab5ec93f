"""Frames that wait: nothing is lost, nothing changes, and memory has an end."""

import numpy as np
from numpy.testing import assert_array_equal

from mardini_cli.pipeline.shelf import Shelf


def test_pictures_come_back_to_the_bit_from_memory_and_from_disk() -> None:
    rng = np.random.default_rng(1)
    pictures = {n: rng.random((5, 7, 3), dtype=np.float32) for n in range(9)}
    shelf = Shelf(room=2)

    for number in reversed(pictures):
        shelf.put(number, pictures[number])

    assert shelf.take(100) is None
    for number, picture in pictures.items():
        assert_array_equal(shelf.take(number), picture)
        assert shelf.take(number) is None


def test_a_shelf_is_used_again_after_it_was_empty() -> None:
    shelf = Shelf(room=0)
    first, second = np.ones((2, 2, 3), np.float32), np.zeros((3, 2, 3), np.float32)

    shelf.put(1, first)
    assert_array_equal(shelf.take(1), first)
    shelf.put(2, second)

    assert_array_equal(shelf.take(2), second)
