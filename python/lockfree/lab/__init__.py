"""The laboratory: what goes wrong in lock-free programming, made to happen.

``python -m lockfree.lab`` lists the experiments, ``python -m lockfree.lab aba``
runs one. It prints what it does and what came of it; the exit status is 0 if
that is what the experiment claims to show, and 1 if not.

An experiment is a module with a line about itself, ``SUMMARY``, and a function
``run() -> bool``; ``__main__`` lists them. ``steps`` plays operations step by
step in a given order, without threads; ``report`` lays out the text.

``litmus(name, ordering)`` runs one litmus test, for instance in a notebook.

Outside the package's promise of stability, as ``lockfree.bench`` is.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockfree.lab.memory_model import litmus

__all__ = ["litmus"]


def __getattr__(name: str) -> object:
    if name == "litmus":  # only now: `import lockfree.lab` stays cheap
        from lockfree.lab.memory_model import litmus

        return litmus
    raise AttributeError(f"module 'lockfree.lab' has no attribute {name!r}")
