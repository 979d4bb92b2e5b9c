"""What a candidate must not change under its tests: put back after it was loaded, and looked at after each test.

Held are `builtins`, `unittest` and whatever else the tests import, with all that is loaded below: every function and
class that these modules name, the functions' code, and what the classes hold.
"""

from __future__ import annotations

import builtins
import gc
import signal
import sys
import threading
import types
from collections.abc import Collection, Iterable
from typing import Any

from .known import Known, Standing, all_types, modules_below
from .memory import Memory, Watched, watched_dicts

_ALWAYS = ("builtins", "unittest", "contextlib", "difflib", "traceback", "pprint", "collections", "warnings", "re")
_HOOKS = ("excepthook", "unraisablehook", "displayhook", "breakpointhook")
_SIGNALS = [one for one in signal.valid_signals() if one not in (signal.SIGKILL, signal.SIGSTOP)]
_DECIDE = ("builtins", "unittest")


class Guard:
    """Taken before hostile code runs. Its own functions are reached through it, not through modules.

    `standing`: what the process knew before it loaded `modules`, if somebody took that down.
    """

    def __init__(self, modules: Collection[str], standing: Standing | None = None) -> None:
        roots = {name.partition(".")[0] for name in (*_ALWAYS, *modules)}
        self.builtins = dict(vars(builtins))
        self._put_back, self._builtins_space = dict.update, vars(builtins)
        self._where = standing.where if standing is not None else None
        self._memory = Memory() if self._where is not None else None
        self._modules: Watched | None = None
        self.types, self._known = _known(roots, standing, self._memory)
        self._own = Known({})
        self._near = [*self._known.values(), self._own]
        self._handlers = {one: signal.getsignal(one) for one in _SIGNALS}
        self._hooks = {name: getattr(sys, name) for name in _HOOKS}
        self._callbacks = list(gc.callbacks)

    def modules_are_loaded(self) -> None:
        """`sys.modules` has all that is ours by now: as long as it stays as it is, no module of it was replaced."""
        if self._where is not None:
            self._modules = watched_dicts([sys.modules], self._where)

    def hold(self, value: Any) -> None:
        """Hold a function, or a class with what it has."""
        self._own.hold(value)

    def restore(self) -> list[str]:
        """Put everything back; the dotted names of what had changed."""
        return self._restored((*self._known.values(), self._own))

    def look_at(self, names: frozenset[str]) -> None:
        """What `restore_near` looks at: `names`, and all that decides outcomes."""
        others = [known.named(names) for root, known in self._known.items() if root not in _DECIDE]
        self._near = [*(self._known[root] for root in _DECIDE), self._own, *others]

    def restore_near(self) -> list[str]:
        """As `restore`, of what `look_at` was told."""
        return self._restored(self._near)

    def _restored(self, parts: Iterable[Known]) -> list[str]:
        self._put_back(self._builtins_space, self.builtins)
        stand = self._modules_stand()
        return [name for known in parts for name in known.restore(self._memory, modules_stand=stand)]

    def _modules_stand(self) -> bool:
        if self._memory is None or self._modules is None:
            return False
        return not any(True for _ in self._modules.changed(self._memory))

    def restore_hooks(self) -> None:
        """Take away what would run hostile code between the tests' own steps."""
        sys.settrace(None)
        sys.setprofile(None)
        threading.settrace(None)
        threading.setprofile(None)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for one, handler in self._handlers.items():
            if handler is not None and signal.getsignal(one) is not handler:
                signal.signal(one, handler)
        for name, hook in self._hooks.items():
            setattr(sys, name, hook)
        gc.callbacks[:] = self._callbacks

    def is_known(self, value: object) -> bool:
        """Whether some module had this function, class or module before the candidate came."""
        if issubclass(type(value), types.ModuleType):
            return sys.modules.get(str(attribute(value, "__name__"))) is value
        name, module = attribute(value, "__name__"), attribute(value, "__module__")
        parts = [known.modules for known in self._known.values()]
        if any(str(module) in part and vars(part[str(module)].owner).get(str(name)) is value for part in parts):
            return True
        return any(held.values.get(str(name)) is value for part in parts for held in part.values())


def _known(
    roots: Collection[str], standing: Standing | None, memory: Memory | None
) -> tuple[Collection[type], dict[str, Known]]:
    """All types, and what the modules below each of `roots` name: taken down anew where something was loaded since."""
    if standing is None:
        return all_types(), {root: Known(modules_below({root})) for root in roots}
    new = standing.new_roots(memory)
    known = {}
    for root in roots:
        before = standing.known.get(root)
        stale = before is None or root in new or (new and before.differs(memory))
        known[root] = Known(modules_below({root})) if before is None or stale else before
    return all_types() if new else standing.types, known


def attribute(value: object, name: str) -> object:
    """None as well where the value can't be asked, as a lazy one that can't be set up."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None
