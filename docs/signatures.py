"""For the reference: a class whose stub has ``__new__`` is called as that says."""

from __future__ import annotations

from typing import Any

import griffe


class CalledAsNew(griffe.Extension):
    """Lets mkdocstrings, which looks for ``__init__``, find ``__new__``."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Give the class an ``__init__`` with the parameters of its ``__new__``."""
        new = cls.members.get("__new__")
        if isinstance(new, griffe.Function) and "__init__" not in cls.members:
            init = griffe.Function("__init__", parameters=new.parameters, lineno=new.lineno)
            cls.set_member("__init__", init)
