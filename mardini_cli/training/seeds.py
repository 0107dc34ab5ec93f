"""One seed from several: so chance knows the run, the stage and the step, and nothing else.

Room: training.
"""


def seed_of(seed: int, name: str, step: int) -> int:
    """One seed from three, spread over 63 bits (splitmix64's constant)."""
    word = seed
    for part in (*name.encode(), step):
        word = (word ^ part) * 0x9E3779B97F4A7C15 & (2**64 - 1)
        word ^= word >> 31
    return word >> 1
