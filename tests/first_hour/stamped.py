"""AtomicStampedRef: a state that left and came back is not taken for one that stayed."""

from lockfree import AtomicStampedRef

state = AtomicStampedRef("idle", 0)
seen, stamp = state.load()

state.store("busy", 1)
state.store("idle", 2)  # idle again, after somebody used it

assert not state.compare_exchange(seen, "mine", stamp, stamp + 1)
current, stamp = state.load()
assert (current, stamp) == ("idle", 2)
assert state.compare_exchange(current, "mine", stamp, stamp + 1)
assert state.load() == ("mine", 3)
