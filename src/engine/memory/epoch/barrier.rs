//! Everybody's fence: half of a store-load handshake of which the other half is free.
//!
//! Thread A stores to `x`, and then loads `y`; thread B stores to `y`, and then loads
//! `x`. One of them sees the other's store, if there is a full fence in between in
//! both. If B makes *all* threads execute one, then A has executed it before its
//! store, between the two, or after its load; and each of the three is as good as a
//! fence of its own in between: [`light`] need only keep the compiler from moving the
//! store.

use super::super::super::shim::{full_fence, light_fence, mutant};

/// A's half.
#[inline(always)]
pub fn light() {
    light_fence();
}

/// B's half. False, and nothing done, if the system does not do it.
pub fn heavy() -> bool {
    if mutant!("epoch.barrier.left_out") {
        return true;
    }
    full_fence();
    system::fence_all()
}

/// Whether the system does it, as far as can be known beforehand.
pub fn exists() -> bool {
    system::exists()
}

#[cfg(all(target_os = "linux", not(loom), not(miri)))]
mod system {
    use libc::{
        MEMBARRIER_CMD_PRIVATE_EXPEDITED as FENCE,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED as REGISTER,
    };

    fn membarrier(command: libc::c_int) -> libc::c_long {
        let (flags, cpu): (libc::c_uint, libc::c_int) = (0, 0);
        // SAFETY: it writes to no memory.
        unsafe { libc::syscall(libc::SYS_membarrier, command, flags, cpu) }
    }

    /// A process registers once; a sandbox may forbid it.
    pub(super) fn exists() -> bool {
        membarrier(REGISTER) == 0 && membarrier(FENCE) == 0
    }

    pub(super) fn fence_all() -> bool {
        membarrier(FENCE) == 0 || exists()
    }
}

#[cfg(all(windows, not(loom), not(miri)))]
mod system {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn FlushProcessWriteBuffers();
    }

    pub(super) fn exists() -> bool {
        true
    }

    pub(super) fn fence_all() -> bool {
        // SAFETY: it has no conditions.
        unsafe { FlushProcessWriteBuffers() };
        true
    }
}

#[cfg(any(loom, miri, not(any(target_os = "linux", windows))))]
mod system {
    pub(super) fn exists() -> bool {
        cfg!(loom)
    }

    pub(super) fn fence_all() -> bool {
        cfg!(loom)
    }
}
