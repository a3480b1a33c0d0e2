//! A descriptor that event loops watch: an eventfd where there is one, else a pipe.
//!
//! It is inherited by no program that is executed (`CLOEXEC`), and closed in a forked child,
//! whose writes the parent would read. For that all are listed, under a lock that attached
//! threads hold for a few instructions: it is free when the interpreter forks.

#[cfg(not(unix))]
pub(super) use nowhere::Descriptor;
#[cfg(unix)]
pub(super) use unix::Descriptor;
#[cfg(unix)]
pub(super) use unix::forked;

#[cfg(not(unix))]
mod nowhere {
    /// Loops elsewhere watch sockets or nothing.
    #[derive(Debug)]
    pub(in crate::python::boundary) enum Descriptor {}

    impl Descriptor {
        pub(in crate::python::boundary) fn new() -> Option<Self> {
            None
        }

        pub(in crate::python::boundary) fn number(&self) -> i32 {
            match *self {}
        }

        pub(in crate::python::boundary) fn write(&self) {
            match *self {}
        }

        pub(in crate::python::boundary) fn read(&self) {
            match *self {}
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::os::fd::RawFd;

    use crate::engine::memory::growth::{put, room_for_one};
    use crate::python::boundary::fork;
    use crate::shim::{Mutex, MutexGuard};

    /// Both ends of all that are open.
    static OPEN: Mutex<Vec<[RawFd; 2]>> = Mutex::new(Vec::new());

    /// Becomes readable when it is written to, until it is read.
    #[derive(Debug)]
    pub(in crate::python::boundary) struct Descriptor {
        generation: u32,
        /// Where it is read and written; the same for an eventfd.
        ends: [RawFd; 2],
    }

    impl Descriptor {
        /// A new one; none where the system has none left.
        pub(in crate::python::boundary) fn new() -> Option<Self> {
            let mut open = open_ones();
            room_for_one(&mut open).ok()?;
            let ends = make()?;
            put(&mut open, ends); // room: above
            Some(Self { generation: fork::generation(), ends })
        }

        /// What a loop watches.
        pub(in crate::python::boundary) fn number(&self) -> RawFd {
            self.ends[0]
        }

        /// Makes it readable. It never blocks, and what is full is readable already.
        pub(in crate::python::boundary) fn write(&self) {
            let one = 1_u64.to_ne_bytes();
            loop {
                // SAFETY: the descriptor is this object's, and open.
                let written = unsafe { libc::write(self.ends[1], one.as_ptr().cast(), one.len()) };
                if written >= 0 || !interrupted() {
                    return;
                }
            }
        }

        /// Makes it unreadable.
        pub(in crate::python::boundary) fn read(&self) {
            let mut bytes = [0_u8; 64];
            loop {
                // SAFETY: as above.
                let read =
                    unsafe { libc::read(self.ends[0], bytes.as_mut_ptr().cast(), bytes.len()) };
                let all = usize::try_from(read).is_ok_and(|read| read < bytes.len());
                if all || read < 0 && !interrupted() {
                    return;
                }
            }
        }
    }

    impl Drop for Descriptor {
        fn drop(&mut self) {
            // In a forked child it is closed already, and the number may be another's.
            if self.generation == fork::generation() {
                open_ones().retain(|ends| *ends != self.ends);
                close(self.ends);
            }
        }
    }

    fn open_ones() -> MutexGuard<'static, Vec<[RawFd; 2]>> {
        OPEN.lock()
    }

    fn interrupted() -> bool {
        std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
    }

    fn close(ends: [RawFd; 2]) {
        // SAFETY: the descriptor is given up here.
        unsafe { libc::close(ends[0]) };
        if ends[1] != ends[0] {
            // SAFETY: as above.
            unsafe { libc::close(ends[1]) };
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn make() -> Option<[RawFd; 2]> {
        // SAFETY: has no conditions.
        let number = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        (number >= 0).then_some([number; 2])
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn make() -> Option<[RawFd; 2]> {
        let mut ends = [-1; 2];
        // SAFETY: room for both numbers.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
            return None;
        }
        for end in ends {
            // SAFETY: a descriptor of our own.
            unsafe { libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC) };
            // SAFETY: as above.
            unsafe { libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK) };
        }
        Some(ends)
    }

    /// Closes all in a forked child.
    pub(in crate::python::boundary) fn forked() {
        // Free, as the head says; a child that finds it taken is one of C code's.
        if let Some(mut open) = OPEN.try_lock() {
            open.drain(..).for_each(close);
        }
    }
}
