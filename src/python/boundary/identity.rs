//! Which thread is running, in one instruction.

/// Whether [`thread_identity`] is what CPython writes into the objects that a
/// thread makes (`ob_tid`).
pub(crate) const IS_CPYTHONS: bool =
    cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"));

/// A word that no other running thread has; never 0, never 1. CPython tells threads
/// apart by the same register.
#[inline(always)]
pub(crate) fn thread_identity() -> usize {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        let pointer: usize;
        // SAFETY: the x86-64 ABI keeps the thread pointer's own address at
        // offset 0 of the segment it points to.
        unsafe {
            std::arch::asm!("mov {}, fs:0", out(reg) pointer,
                options(nostack, preserves_flags, pure, readonly));
        }
        pointer
    }
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    {
        let pointer: usize;
        // SAFETY: reads the thread pointer.
        unsafe {
            std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer,
                options(nostack, preserves_flags, pure, nomem));
        }
        pointer
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux")))]
    {
        thread_local!(static HERE: u64 = const { 0 });
        HERE.with(|here| std::ptr::from_ref(here).addr())
    }
}
