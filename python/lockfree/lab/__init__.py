"""The laboratory: what goes wrong in lock-free programming, made to happen.

``python -m lockfree.lab`` lists the experiments, ``python -m lockfree.lab aba``
runs one. It prints what it does and what came of it; the exit status is 0 if
that is what the experiment claims to show, and 1 if not.

An experiment is a module with a line about itself, ``SUMMARY``, and a function
``run() -> bool``; ``__main__`` lists them. ``steps`` plays operations step by
step in a given order, without threads; ``threads`` runs them at once; ``report`` lays out
the text.

``litmus(name, ordering)`` runs one litmus test and ``atomicity()`` the statements that
are said to be atomic in Python; in a notebook, what they return renders as a table.

Outside the package's promise of stability, as ``lockfree.bench`` is.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockfree.lab.lost_updates import atomicity
    from lockfree.lab.memory_model import litmus

__all__ = ["atomicity", "litmus"]


def __getattr__(name: str) -> object:
    # Only now: `import lockfree.lab` stays cheap.
    if name == "atomicity":
        from lockfree.lab.lost_updates import atomicity

        return atomicity
    if name == "litmus":
        from lockfree.lab.memory_model import litmus

        return litmus
    raise AttributeError(f"module 'lockfree.lab' has no attribute {name!r}")
