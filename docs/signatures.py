"""For the reference: what mkdocstrings does not see in a stub by itself."""

from __future__ import annotations

from typing import Any

import griffe


class Signatures(griffe.Extension):
    """Finds methods that are all overloads, and ``__new__`` where ``__init__`` is looked for."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Add what is missing: of overloads the last one, which takes what all take."""
        for name, variants in list(cls.overloads.items()):
            if variants and name not in cls.members:
                cls.set_member(name, variants[-1])
        new = cls.members.get("__new__")
        if isinstance(new, griffe.Function) and "__init__" not in cls.members:
            init = griffe.Function("__init__", parameters=new.parameters, lineno=new.lineno)
            cls.set_member("__init__", init)
