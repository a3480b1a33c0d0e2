//! Message passing under loom: what the `loom_*` tests of single words share.

use lockfree::shim::{AtomicI64, Ordering};

use crate::outcomes::outcomes;

/// The message.
pub(crate) const PAYLOAD: i64 = 5;

struct Channel<C, V> {
    /// Accessed with `Relaxed`: only the cell can order it.
    payload: AtomicI64,
    cell: C,
    nothing: V,
    publish: fn(&C),
    receive: fn(&C) -> V,
}

/// Some receivers find the published value, which is any but `nothing`, and each of
/// them the payload too.
pub(crate) fn assert_message_passes<C, V>(
    name: &str,
    new: fn(V) -> C,
    nothing: V,
    publish: fn(&C),
    receive: fn(&C) -> V,
) where
    C: Send + Sync + 'static,
    V: Copy + PartialEq + Send + Sync + 'static,
{
    let channel = move || {
        let (payload, cell) = (AtomicI64::new(0), new(nothing));
        Channel { payload, cell, nothing, publish, receive }
    };
    let publisher = |channel: &Channel<C, V>| {
        channel.payload.store(PAYLOAD, Ordering::Relaxed);
        (channel.publish)(&channel.cell);
        None
    };
    let receiver = |channel: &Channel<C, V>| {
        let received = (channel.receive)(&channel.cell) != channel.nothing;
        received.then(|| channel.payload.load(Ordering::Relaxed))
    };
    let seen = outcomes(channel, [publisher, receiver], |_| ());
    assert_eq!(seen, [([None, None], ()), ([None, Some(PAYLOAD)], ())].into(), "{name}");
}
