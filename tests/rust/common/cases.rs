//! How many cases a property is tried with.

use proptest::prelude::ProptestConfig;

/// A thousand. Miri lets nothing be written to disk, and takes its time.
pub(crate) fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 1000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
