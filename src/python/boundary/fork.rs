//! What a forked child must know.
//!
//! CPython stops all other threads before it forks, and none is ever stopped
//! inside an engine or while it holds a lock of ours. So nothing is half-done in
//! the child; but its other threads do not exist there. Those that waited are known
//! by the number of the process generation in which they began to wait; the numbers
//! that threads held become free.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// A number that is another one in each forked child.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

/// Counts forks from now on. Not by `os.register_at_fork`: finalizers may run in
/// the child before its functions.
pub(crate) fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        #[cfg(unix)]
        // SAFETY: the handler only writes to atomics and closes descriptors: it waits for no
        // lock that a thread of the parent may hold.
        unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        }
    });
}

#[cfg(unix)]
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Relaxed);
    crate::engine::memory::slots::forked();
    crate::baseline::forked();
    super::descriptor::forked();
    super::user::forked();
}
