//! When memory that was unlinked may be given back.
//!
//! # The problem
//! A reader that takes no lock loads the address of a table, is suspended, and goes
//! on reading there. Whoever replaced the table meanwhile must not free it yet.
//! `reclaim.rs` counts the readers of one object, which costs each a locked
//! instruction; what is read all the time, as a cache is, wants something that a
//! reader does not notice.
//!
//! # Idea and source
//! Epochs (K. Fraser, "Practical Lock-Freedom", 2004): a reader notes, in a word of
//! its own, *since when* it is inside; what was unlinked is freed once everybody who
//! was inside by then has left. That takes an order between the reader's note and
//! its first look, for which a processor wants a full fence, a quarter of a hit. The
//! fence is moved to the reclaimer, who needs it a million times less often: the
//! system is asked to make every running thread of the process execute one
//! (`membarrier` of Linux, as in M. Desnoyers et al., "User-Level Implementations of
//! Read-Copy Update", TPDS 2012, and in the crate `seize`; `FlushProcessWriteBuffers`
//! of Windows). To the reader are left two plain stores.
//!
//! Where the system has no such thing, which shows at run time, `crossbeam-epoch`
//! does the work; it is named in `fallback.rs` only.
//!
//! | file | what it holds |
//! |---|---|
//! | `domain` | readers, epochs, and what waits for them |
//! | `barrier` | everybody's fence |
//! | `block` | memory that can wait |
//! | `running` | the readers of this process |
//! | `fallback` | the same by `crossbeam-epoch` |
//!
//! # What it is used for
//! Memory, and nothing but memory: no value waits for an epoch, so that nothing of
//! the user's runs when memory is freed, and nobody can tell when it was. And inside
//! a guard nothing of the user's runs: that might take for ever.
//!
//! Whoever retires memory collects, as soon as more than [`Reclaim::tidy`] tolerates waits.
//!
//! # Which
//! | type | for |
//! |---|---|
//! | [`Epochs`] | threads that run at the same time |
//! | [`Alone`] | threads of which one runs at a time, and is not suspended inside: those of an interpreter with a GIL |
//! | [`Crossbeam`] | what [`Epochs`] falls back on; to compare with |

pub mod barrier;
mod block;
pub mod domain;
#[cfg(not(loom))]
mod fallback;
mod running;

pub use block::{Block, Header};
#[cfg(not(loom))]
pub use fallback::Crossbeam;
#[cfg(not(loom))]
pub use running::forked;
pub use running::{Epochs, waiting};

/// How memory is kept from being freed while somebody reads there.
pub trait Reclaim: 'static {
    /// Somebody is inside, as long as it lives.
    type Guard;
    /// The same, for a thread that was inside before.
    type Again;

    /// Enters: what can be reached from now on stays until the guard is dropped.
    fn enter() -> Self::Guard;

    /// Enters, if the thread was inside before; `None` says that it takes [`Self::enter`].
    fn enter_again() -> Option<Self::Again>;

    /// Frees a block, as soon as nobody is inside who entered before.
    ///
    /// # Safety
    /// Who enters from now on does not reach it. It came from [`Block::new`], and is
    /// retired once.
    unsafe fn retire(block: Block);

    /// Frees what can be freed, if more waits than a mebibyte and half of what is in
    /// use. To be called with nothing held.
    fn tidy();
}

/// For those of whom one runs at a time, and is not suspended inside.
#[derive(Debug)]
pub struct Alone;

impl Reclaim for Alone {
    type Guard = ();
    type Again = ();

    #[inline(always)]
    fn enter() {}

    #[inline(always)]
    fn enter_again() -> Option<()> {
        Some(())
    }

    unsafe fn retire(block: Block) {
        // SAFETY: the caller is the only one who runs, and has unlinked it.
        unsafe { block.free() };
    }

    #[inline(always)]
    fn tidy() {}
}
