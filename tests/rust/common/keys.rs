//! Counted values as keys, for the tests of what has the cache's table.

#[allow(dead_code)] // other tests use the rest
#[path = "counted.rs"]
pub(crate) mod counted;
#[allow(dead_code)] // other tests use the rest
#[path = "sought.rs"]
pub(crate) mod sought;

use counted::Value;
use sought::{Numbered, Sought};

/// A `Value`'s number is never 0; properties have a key of that number, models have none.
const FIRST: usize = if cfg!(loom) { 0 } else { 1 };

impl Numbered for Value {
    fn number(&self) -> usize {
        self.number() - FIRST
    }
}

/// A key for models.
#[cfg(loom)]
pub(crate) const KEY: Sought = Sought { number: 1, hash: 1, by_hash: true };

/// Two of three keys have another key's hash.
#[cfg(not(loom))]
pub(crate) fn sought(number: usize) -> Sought {
    Sought { number, hash: number as u64 / 3, by_hash: false }
}
