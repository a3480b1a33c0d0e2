"""What happens on a Python whose objects are laid out otherwise: the import says so.

Children change the interpreter's own objects, and then import.
"""

from __future__ import annotations

import platform
import sys
import sysconfig

import pytest
from support import in_child

if sys.platform == "win32":
    pytest.skip("memory is made writable as POSIX has it", allow_module_level=True)

PLANT = r"""
import ctypes, importlib, mmap, os, sys
os.environ["LOCKFREE_IMPLEMENTATION"] = "locked"
import lockfree  # with all that an import needs, but the extension
del os.environ["LOCKFREE_IMPLEMENTATION"]
for name in [name for name in sys.modules if name.startswith("lockfree")]:
    del sys.modules[name]
mprotect = ctypes.CDLL(None).mprotect
harmless = ctypes.c_uint8()

def planted(kind, address, value):
    page = address & -mmap.PAGESIZE
    assert mprotect(ctypes.c_void_p(page), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) == 0
    word = kind.from_address(address)
    before, word.value = word.value, value
    try:
        importlib.import_module("lockfree._native")
    except ImportError as error:
        refusal = error
    else:
        refusal = None
    word.value = before
    print(refusal)
"""

DIGITS = r"""
layout = ctypes.pythonapi.PyLong_GetNativeLayout
layout.restype = ctypes.c_void_p
planted(ctypes.c_uint8, layout(), 15)
"""

INTS = r"""
planted(ctypes.c_uint32, id(255) + int.__basicsize__, 254)
"""

COUNTS = r"""
ob_ref_local = 12
planted(ctypes.c_uint32, id(None) + ob_ref_local, 1 << 31)
"""

# Where an object is laid out otherwise, a look at one finds another length.
LOOKS = r"""
planted(ctypes.c_size_t, id(b"l") + object.__basicsize__, 2)
"""

# The shared count is compared with what the interpreter says.
SHARED_COUNTS = r"""
told, sys.getrefcount = sys.getrefcount, lambda object: min(told(object), {most})
planted(ctypes.c_uint8, ctypes.addressof(harmless), 0)
"""

# An interpreter that has another function in a slot than the one that was put there.
SLOTS = r"""
address = ctypes.cast(ctypes.pythonapi.PyType_GetSlot, ctypes.c_void_p).value
page, code = address & -mmap.PAGESIZE, (ctypes.c_uint8 * 12).from_address(address)
rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
assert mprotect(ctypes.c_void_p(page), 2 * mmap.PAGESIZE, rights) == 0
get_slot = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)

@get_slot
def other(cls, slot):
    code[:] = before
    found = get_slot(address)(cls, slot)
    code[:] = jump
    return None if slot == {slot} else found

before = bytes(code)
jump = b"\x48\xb8" + ctypes.cast(other, ctypes.c_void_p).value.to_bytes(8, "little") + b"\xff\xe0"
code[:] = jump
planted(ctypes.c_uint8, ctypes.addressof(harmless), 0)
code[:] = before
"""

IS_FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.mark.parametrize(
    ("plant", "refusal"),
    [
        pytest.param(
            DIGITS,
            "this Python's ints are laid out in a way that lockfree does not know",
            marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="has no such function"),
            id="digits",
        ),
        pytest.param(
            INTS,
            "this Python's ints are laid out in a way that lockfree does not know",
            id="ints",
        ),
        pytest.param(
            COUNTS,
            "this Python counts references in a way that lockfree does not know",
            marks=pytest.mark.skipif(not IS_FREE_THREADED, reason="with a GIL a count is a number"),
            id="counts",
        ),
        pytest.param(
            LOOKS,
            "this Python's objects are laid out in a way that lockfree does not know",
            marks=pytest.mark.skipif(not IS_FREE_THREADED, reason="with a GIL C functions look"),
            id="looks",
        ),
        *(
            pytest.param(
                SHARED_COUNTS.format(most=most),
                "this Python counts references in a way that lockfree does not know",
                marks=pytest.mark.skipif(not IS_FREE_THREADED, reason="as above"),
                id=f"counts up to {most}",
            )
            for most in (2, 3)
        ),
        *(
            pytest.param(
                SLOTS.format(slot=slot),
                "this Python keeps the slots of classes in a way that lockfree does not know",
                marks=pytest.mark.skipif(
                    not sys.platform.startswith("linux") or platform.machine() != "x86_64",
                    reason="writes instructions",
                ),
                id=name,
            )
            for name, slot in {"+": 7, "~": 27, "+=": 14, "[]": 5, "__init__": 60}.items()
        ),
    ],
)
def test_another_layout_is_an_import_error_that_says_what_is_wrong(
    plant: str, refusal: str
) -> None:
    child = in_child(PLANT + plant)
    assert child.returncode == 0, child.stderr
    assert refusal in child.stdout
