//! The integer: each operation, its edges, and threads.

use lockfree::engine::{Int64, Overflow};

#[test]
fn smoke() {
    let int = Int64::new(1);
    assert_eq!(int.fetch_add(1), Ok(1));
    assert_eq!(int.load(), 2);
    assert_eq!(Int64::new(i64::MAX).fetch_add(1), Err(Overflow { value: i64::MAX }));
}
