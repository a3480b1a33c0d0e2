"""The memory orderings, the same for both implementations."""

from enum import Enum


class Ordering(Enum):
    """What an atomic operation promises about the operations around it.

    The names and meanings are those of C++ and Rust.
    """

    RELAXED = "relaxed"
    """Nothing but that the operation itself is atomic."""
    ACQUIRE = "acquire"
    """Of a read: what comes after it sees all that came before the write it read from."""
    RELEASE = "release"
    """Of a write: what came before it is seen by whoever acquires the value."""
    ACQ_REL = "acq_rel"
    """Of an operation that reads and writes: both."""
    SEQ_CST = "seq_cst"
    """Both, and all such operations have one order, which every thread agrees with."""
