//! The cache: each operation, the policy, and threads.
#![cfg(not(loom))]
// Keys and shares are small numbers.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]

#[path = "common/counted.rs"]
mod counted;
#[path = "common/s3fifo.rs"]
mod s3fifo;
#[path = "common/sought.rs"]
mod sought;
#[path = "common/threads.rs"]
mod threads;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use counted::{Memory, Value};
use lockfree::baseline::Number;
use lockfree::engine::OutOfMemory;
use lockfree::engine::cache::{Cache, Clock, Evicted, Item, Query, Reason, Removed, UNBOUNDED};
use proptest::prelude::*;
use s3fifo::S3Fifo;
use sought::{FOREVER, Map, Numbered};
use threads::{on_threads, until_threads_meet};

impl Numbered for Number {
    fn number(&self) -> usize {
        self.0
    }
}

/// A `Value`'s number is never 0.
impl Numbered for Value {
    fn number(&self) -> usize {
        self.number() - 1
    }
}

/// Time that the test sets.
#[derive(Clone, Debug, Default)]
struct Manual(Arc<AtomicU64>);

impl Manual {
    fn set(&self, now: u64) {
        self.0.store(now, Relaxed);
    }
}

impl Clock for Manual {
    fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

fn spread(number: usize) -> (u64, bool) {
    (number as u64, true)
}

/// Two of three keys have another key's hash.
fn colliding(number: usize) -> (u64, bool) {
    (number as u64 / 3, false)
}

type Numbers = Map<Number, Manual, fn(usize) -> Number>;

fn timed(limit: u64, shards: usize, clock: &Manual) -> Numbers {
    Map { cache: Cache::with(limit, shards, clock.clone()), make: Number, hash: spread }
}

fn numbers(limit: u64, shards: usize) -> Numbers {
    timed(limit, shards, &Manual::default())
}

#[test]
fn what_is_put_is_found_until_it_is_removed() {
    for hash in [spread, colliding] {
        let map = Map { hash, ..numbers(UNBOUNDED, 1) };
        assert_eq!((map.get(1), map.contains(1), map.remove(1)), (None, false, None));
        map.put(1, 10);
        map.put(2, 20);
        assert_eq!((map.get(1), map.contains(1), map.get(3)), (Some(10), true, None));
        map.put(1, 11);
        assert_eq!(map.items(), [(1, 11), (2, 20)]);
        assert_eq!((map.remove(1), map.remove(1), map.get(1)), (Some(11), None, None));
        assert_eq!(
            (map.get_or_put(2, 21, FOREVER), map.get_or_put(1, 12, FOREVER)),
            (Some(20), None)
        );
        assert_eq!((map.cache.len(), map.items()), (2, vec![(1, 12), (2, 20)]));
        map.cache.clear(|| ());
        assert_eq!((map.cache.len(), map.items(), map.get(2)), (0, vec![], None));
    }
}

#[test]
fn a_snapshot_is_whole_although_tables_grow_and_shrink_under_it() {
    const MANY: usize = if cfg!(miri) { 3000 } else { 20_000 };
    let staying = |key: &usize| key.is_multiple_of(100);
    let (growing, shrinking) = (numbers(UNBOUNDED, 2), numbers(UNBOUNDED, 2));
    for key in 0..MANY {
        shrinking.put(key, key);
        if staying(&key) {
            growing.put(key, key);
        }
    }
    let keys = |map: &Map<_, _, _>, change: &mut dyn FnMut(usize)| {
        let mut next = 0..MANY;
        let between = || {
            next.by_ref().filter(|key| !staying(key)).take(1 + MANY / 8).for_each(&mut *change);
            Ok::<_, OutOfMemory>(())
        };
        let keys = map.cache.keys(between).unwrap();
        let mut keys: Vec<_> = keys.iter().map(Numbered::number).collect();
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all, "one came twice");
        assert!((0..MANY).filter(staying).all(|key| keys.binary_search(&key).is_ok()));
    };
    keys(&growing, &mut |key| assert!(growing.put(key, key).is_empty()));
    keys(&shrinking, &mut |key| assert_eq!(shrinking.remove(key), Some(key)));
}

#[test]
fn traverse_visits_what_is_there_until_one_fails() {
    let visit_up_to = |map: &Numbers, last| {
        let mut visited = Vec::new();
        // SAFETY: there is no other thread.
        let result = unsafe {
            map.cache.traverse(|&Number(number)| {
                visited.push(number);
                if number == last { Err(last) } else { Ok(()) }
            })
        };
        visited.sort_unstable();
        (visited, result)
    };
    for shards in [1, 4] {
        let map = numbers(UNBOUNDED, shards);
        assert_eq!(visit_up_to(&map, 0), (vec![], Ok(())));
        // Keys are even and values odd. Pages of several sizes, some entries of which are free.
        for n in 0..3000 {
            map.put(2 * n, 2 * n + 1);
        }
        (0..3000).step_by(3).for_each(|n| assert!(map.remove(2 * n).is_some()));
        let left = (0..3000).filter(|n| n % 3 != 0).flat_map(|n| [2 * n, 2 * n + 1]);
        assert_eq!(visit_up_to(&map, usize::MAX), (left.collect(), Ok(())));
        let (visited, result) = visit_up_to(&map, 2003);
        assert_eq!(result, Err(2003));
        assert!(visited.len() <= 4000);
        map.cache.clear(|| ());
        assert_eq!(visit_up_to(&map, 0), (vec![], Ok(())));
    }
}

#[test]
fn the_limit_can_be_set() {
    for shards in [1, 4] {
        let map = numbers(UNBOUNDED, shards);
        (0..100).for_each(|key| assert!(map.put(key, key).is_empty()));
        for (limit, left) in [(70, 70), (80, 70), (UNBOUNDED, 70), (10, 10), (0, 0)] {
            let before = map.cache.len();
            let mut evicted = 0;
            map.cache.set_limit(limit, |_| evicted += 1).expect("there is memory");
            assert_eq!((map.cache.len(), before - evicted), (left, left));
        }
        map.cache.set_limit(80, drop).expect("there is memory");
        (0..200).for_each(|key| drop(map.put(key, key)));
        assert_eq!((map.cache.len(), map.cache.weight()), (80, 80));
    }
}

#[test]
fn what_weighs_nothing_makes_no_room() {
    let map = numbers(10, 1);
    (0..20).for_each(|key| assert!(map.put_weighed(key, key, 0, FOREVER).is_empty()));
    for key in 20..40 {
        map.put_weighed(key, key, 10, FOREVER);
        assert_eq!((map.cache.len(), map.cache.weight()), (21, 10));
    }
    map.put_weighed(0, 0, 10, FOREVER);
    assert_eq!((map.cache.len(), map.cache.weight(), map.get(0)), (20, 10, Some(0)));
    map.put_weighed(0, 1, 0, FOREVER);
    assert_eq!((map.cache.len(), map.cache.weight(), map.get(0)), (20, 0, Some(1)));
}

#[test]
fn a_small_cache_holds_just_so_many_and_the_newest() {
    for limit in [1, 2, 3, 10] {
        let map = numbers(limit, 1);
        for key in 0..100 {
            let removed = map.put(key, key);
            assert_eq!(removed.len(), usize::from(key as u64 >= limit));
            assert_eq!(map.get(key), Some(key));
            // The others are used, all the same.
            (0..3 * key)
                .for_each(|key| assert!(map.get(key / 3).is_none_or(|value| value == key / 3)));
            assert_eq!(map.cache.len(), limit.min(key as u64 + 1) as usize);
        }
    }
}

/// Whatever the shards of the keys, all room can be used, and no more.
#[test]
fn the_bound_is_of_all_shards_together() {
    let one_shard = |number: usize| (number as u64, true);
    for shards in [2, 16] {
        for hash in [spread, one_shard] {
            let map = Map { hash, ..numbers(100, shards) };
            for key in 0..1000 {
                assert_eq!(map.put(key, key).len(), usize::from(key >= 100));
                assert_eq!((map.get(key), map.cache.len()), (Some(key), (key + 1).min(100)));
            }
        }
    }
}

/// The first item of a shard when all room is taken up by the others.
#[test]
fn a_shard_with_nothing_to_give_takes_room_from_another() {
    let map = numbers(2, 16);
    for key in 0..1000 {
        map.put(key, key);
        assert_eq!((map.get(key), map.cache.len()), (Some(key), (key + 1).min(2)));
    }
}

#[test]
fn expired_is_absent() {
    let clock = Manual::default();
    let map = timed(UNBOUNDED, 1, &clock);
    map.put_weighed(1, 10, 1, 100);
    map.put(2, 20);
    clock.set(99);
    assert_eq!((map.get(1), map.contains(1)), (Some(10), true));
    clock.set(100);
    assert_eq!((map.get(1), map.contains(1), map.remove(1)), (None, false, None));
    map.put_weighed(3, 30, 1, 200);
    map.put_weighed(3, 31, 1, 300);
    clock.set(250);
    assert_eq!(map.get(3), Some(31));
    map.put_weighed(3, 32, 1, 260);
    clock.set(260);
    assert_eq!((map.items(), map.get_or_put(3, 33, FOREVER)), (vec![(2, 20)], None));
    assert_eq!(map.items(), [(2, 20), (3, 33)]);
}

#[test]
fn what_expired_is_stale_until_its_grace_is_over() {
    let clock = Manual::default();
    let cache = Cache::with(UNBOUNDED, 1, clock.clone()).with_grace(50);
    let map = Map { cache, make: Number, hash: spread };
    let stale = |key| map.cache.stale(&map.sought(key), drop).unwrap().map(|value| value.0);
    let fresh = || map.cache.fresh(|| Ok::<_, OutOfMemory>(())).unwrap();
    map.put(0, 0);
    (1..5).for_each(|key| drop(map.put_weighed(key, 10 * key, 1, 100)));
    clock.set(99);
    assert_eq!((map.get(1), stale(1), fresh()), (Some(10), None, 5));
    clock.set(100);
    assert_eq!((map.get(1), map.contains(1), stale(1)), (None, false, Some(10)));
    assert_eq!((map.items(), fresh(), map.cache.len()), (vec![(0, 0)], 1, 5));
    assert_eq!((map.cache.expire(drop), stale(0), stale(7)), (0, None, None));
    // Whatever is done to the key ends it.
    let mut reasons = Vec::new();
    let told = |expired: Evicted<Number>| reasons.push((expired.value.0, expired.reason));
    assert!(map.cache.remove(&map.sought(1), told).unwrap().is_none());
    assert_eq!((reasons, stale(1)), (vec![(10, Reason::Expired)], None));
    assert_eq!(map.put_weighed(2, 21, 1, 200), [2]);
    assert_eq!((map.get(2), stale(2), map.get_or_put(3, 31, 200)), (Some(21), None, None));
    clock.set(149);
    assert_eq!(stale(4), Some(40));
    clock.set(150);
    assert_eq!((stale(4), map.cache.len(), map.get(3)), (None, 3, Some(31)));
    clock.set(249);
    assert_eq!((map.cache.expire(drop), stale(3)), (0, Some(31)));
    clock.set(250);
    assert_eq!((map.cache.expire(drop), map.cache.len()), (2, 1));
}

#[test]
fn expired_items_make_room_and_are_reported_as_such() {
    let clock = Manual::default();
    let map = timed(3, 1, &clock);
    map.put(0, 0);
    assert!(map.put_weighed(1, 1, 1, 10).is_empty());
    assert!(map.put_weighed(2, 2, 1, 20).is_empty());
    clock.set(20);
    let item = Item { key: Number(3), value: Number(3), weight: 1, deadline: FOREVER };
    let mut removed = Removed::default();
    map.cache.put(&map.sought(3), item, &mut removed).unwrap();
    let removed: Vec<_> = removed.iter().map(|e| (e.key.0, e.reason)).collect();
    assert_eq!(removed, [(1, Reason::Expired), (2, Reason::Expired)]);
    assert_eq!(map.items(), [(0, 0), (3, 3)]);
}

/// Also if it is forbidden while room is sought in another shard.
#[test]
fn what_is_not_admitted_leaves_all_as_it_was() {
    let mut asked_again = 0;
    for (key, admitted) in (3..40).flat_map(|key| [(key, 0), (key, 1)]) {
        let map = numbers(2, 2);
        map.put(1, 1);
        map.put(2, 2);
        let asked = AtomicUsize::new(0);
        let admit = || asked.fetch_add(1, Relaxed) < admitted;
        let item = Item { key: Number(key), value: Number(key), weight: 1, deadline: FOREVER };
        let mut removed = Removed::default();
        map.cache.put_if(&map.sought(key), item, &mut removed, admit).unwrap();
        let refused = asked.load(Relaxed) > admitted;
        assert_eq!(map.contains(key), !refused);
        asked_again += usize::from(refused) * admitted;
        // Nothing of the bound is lost.
        (50..60).for_each(|key| drop(map.put(key, key)));
        assert_eq!(map.cache.len(), 2);
    }
    assert!(asked_again > 0);
}

/// It may take a lock to tell.
#[test]
fn whether_it_is_admitted_is_asked_once() {
    let map = numbers(2, 1);
    for (key, weight) in [(1, 1), (1, 1), (1, 2), (2, 1), (3, 1), (4, 1)] {
        let asked = Cell::new(0);
        let admit = || {
            asked.set(asked.get() + 1);
            true
        };
        let item = || Item { key: Number(key), value: Number(key), weight, deadline: FOREVER };
        drop(map.cache.put_at_once(&map.sought(key), item(), admit));
        assert_eq!(asked.get(), 1, "{key}");
        map.cache.put_if(&map.sought(key), item(), &mut Removed::default(), admit).unwrap();
        assert_eq!(asked.get(), 2, "{key}");
    }
}

#[test]
fn what_is_not_admitted_late_weighs_what_it_weighed() {
    for (before, admitted) in (0..5).flat_map(|admitted| [(1, admitted), (9, admitted)]) {
        let map = numbers(10, 1);
        map.put_weighed(1, 1, before, FOREVER);
        let asked = AtomicUsize::new(0);
        let admit = || asked.fetch_add(1, Relaxed) < admitted;
        let item =
            Item { key: Number(1), value: Number(2), weight: 10 - before, deadline: FOREVER };
        map.cache.put_if(&map.sought(1), item, &mut Removed::default(), admit).unwrap();
        map.remove(1);
        // Nothing of the bound is lost, or won.
        (50..70).for_each(|key| drop(map.put(key, key)));
        assert_eq!((map.cache.len(), map.cache.weight()), (10, 10), "{before} {admitted}");
    }
}

#[test]
fn expire_removes_what_is_past_its_time_and_only_that() {
    let clock = Manual::default();
    let map = timed(UNBOUNDED, 4, &clock);
    // Most are set anew before, so that most timers are void.
    for deadline in [5, 50, 7, 70] {
        (0..1000).for_each(|key| drop(map.put_weighed(key, key, 1, deadline + key as u64 % 2)));
    }
    (0..500).for_each(|key| drop(map.put(key, key)));
    (900..1000).for_each(|key| assert!(map.remove(key).is_some()));
    for (now, expired) in [(51, 0), (70, 200), (70, 0), (71, 200), (1000, 0)] {
        clock.set(now);
        assert_eq!(map.cache.expire(drop), expired, "at {now}");
    }
    assert_eq!(map.cache.len(), 500);
}

#[test]
fn the_limit_is_of_the_weights() {
    let map = numbers(10, 1);
    map.put_weighed(1, 1, 4, FOREVER);
    map.put_weighed(2, 2, 6, FOREVER);
    assert_eq!((map.cache.len(), map.cache.weight()), (2, 10));
    assert!(map.put_weighed(3, 3, 0, FOREVER).is_empty());
    assert_eq!(map.put_weighed(4, 4, 5, FOREVER), [1, 2]);
    assert_eq!((map.cache.len(), map.cache.weight()), (2, 5));
    assert_eq!(map.put_weighed(5, 5, 10, FOREVER), [4]);
    assert_eq!((map.items(), map.cache.weight()), (vec![(3, 3), (5, 5)], 10));
}

/// The one that is replaced by a heavier one stays; others go for it.
#[test]
fn a_heavier_value_displaces_others() {
    for key in 0..3 {
        let map = numbers(6, 1);
        (0..3).for_each(|key| drop(map.put_weighed(key, key, 2, FOREVER)));
        assert_eq!(map.put_weighed(key, 9, 3, FOREVER).len(), 1);
        assert_eq!((map.get(key), map.cache.weight()), (Some(9), 5));
        assert_eq!(map.put_weighed(key, 9, 6, FOREVER).len(), 1);
        assert_eq!(map.items(), [(key, 9)]);
        map.put_weighed(key, 9, 1, FOREVER);
        assert!(map.put_weighed(7, 7, 5, FOREVER).is_empty());
    }
}

/// What is replaced is alone in the main queue, and the small one has less than its share.
#[test]
fn a_heavier_value_displaces_what_is_in_the_other_queue() {
    let map = numbers(100, 1);
    map.put_weighed(0, 0, 10, FOREVER);
    map.put_weighed(1, 1, 85, FOREVER);
    map.remove(0);
    map.put_weighed(2, 2, 5, FOREVER);
    assert_eq!(map.put_weighed(1, 9, 98, FOREVER), [2]);
    assert_eq!((map.items(), map.cache.weight()), (vec![(1, 9)], 98));
}

#[test]
fn the_victim_that_is_removed_is_the_next_to_be_evicted() {
    let map = numbers(100, 1);
    (0..100).for_each(|key| drop(map.put(key, key)));
    (0..50).for_each(|key| assert_eq!(map.get(key), map.get(key)));
    let next = || map.cache.remove_victim(|_| unreachable!("nothing expires"));
    let (key, _) = next().unwrap();
    map.put(key.0, key.0);
    let order: Vec<_> = std::iter::from_fn(next).collect();
    assert_eq!((order.len(), map.cache.len()), (100, 0));
    assert!(order[..49].iter().all(|(key, _)| key.0 >= 50), "used ones outlive the others");
}

/// Both queues do, whoever leaves them, and from where.
#[test]
fn what_is_not_used_goes_in_the_order_in_which_it_came() {
    const LIMIT: usize = 64;
    let mut random = Random(1);
    for _ in 0..if cfg!(miri) { 2 } else { 50 } {
        let map = numbers(LIMIT as u64, 1);
        let mut there: Vec<usize> = (0..LIMIT).collect();
        assert!(there.iter().all(|key| map.put(*key, *key).is_empty()));
        for key in LIMIT..3 * LIMIT {
            let gone = map.put(key, key);
            there.push(key);
            there.retain(|key| !gone.contains(key));
            for _ in 0..random.below(3) {
                let key = there.remove(random.below(there.len()));
                assert_eq!(map.remove(key), Some(key));
            }
        }
        let next = || map.cache.remove_victim(|_| unreachable!("nothing expires"));
        let order: Vec<_> = std::iter::from_fn(next).map(|(key, _)| key.0).collect();
        // The first tenth filled the small queue, the rest the main one; all later ones were new.
        let is_main = |key: &&usize| (LIMIT / 10..LIMIT).contains(*key);
        assert!(order.iter().filter(is_main).is_sorted(), "{order:?}");
        assert!(order.iter().filter(|key| !is_main(key)).is_sorted(), "{order:?}");
        there.retain(|key| !order.contains(key));
        assert_eq!(there, [], "{order:?}");
    }
}

/// What fails.
#[derive(Debug, PartialEq, Eq)]
struct Refused;

impl From<OutOfMemory> for Refused {
    fn from(_: OutOfMemory) -> Self {
        Self
    }
}

/// A comparison that uses the cache it is asked by, or fails.
struct Meddler<'a> {
    map: &'a Numbers,
    meddle: fn(&Numbers) -> Result<bool, Refused>,
}

impl Query<Number> for Meddler<'_> {
    type Error = Refused;

    fn hash(&self) -> u64 {
        0
    }

    fn address(&self) -> usize {
        usize::MAX // it is no other's
    }

    fn by_hash(&self) -> bool {
        false
    }

    fn is(&self, _key: &Number) -> Result<bool, Refused> {
        (self.meddle)(self.map)
    }
}

#[test]
fn a_comparison_may_use_the_cache() {
    let map = Map { hash: colliding, ..numbers(UNBOUNDED, 1) };
    let item = || Item { key: Number(9), value: Number(9), weight: 1, deadline: FOREVER };
    map.put(0, 0);
    // The item that it is compared with goes while it is compared.
    let meddle = |map: &Numbers| Ok(map.remove(0).is_some());
    let meddler = Meddler { map: &map, meddle };
    assert!(map.cache.get(&meddler, drop).unwrap().is_none());
    map.put(0, 0);
    map.cache.put(&meddler, item(), &mut Removed::default()).unwrap();
    assert_eq!(map.items(), [(9, 9)]);
    // One more comes, which it has not been compared with.
    let meddle = |map: &Numbers| Ok(map.get_or_put(0, 0, FOREVER).is_none());
    let meddler = Meddler { map: &map, meddle };
    map.cache.put(&meddler, item(), &mut Removed::default()).unwrap();
    assert_eq!(map.items(), [(0, 0), (9, 9)]);
}

#[test]
fn a_comparison_that_fails_changes_nothing() {
    let map = Map { hash: colliding, ..numbers(1, 1) };
    map.put(0, 0);
    let meddler = Meddler { map: &map, meddle: |_| Err(Refused) };
    assert_eq!(map.cache.get(&meddler, drop).map(drop), Err(Refused));
    assert_eq!(map.cache.remove(&meddler, drop).map(drop), Err(Refused));
    let item = Item { key: Number(1), value: Number(1), weight: 1, deadline: FOREVER };
    assert!(map.cache.put(&meddler, item, &mut Removed::default()).is_err());
    assert_eq!(map.items(), [(0, 0)]);
}

#[test]
fn references_are_dropped_once() {
    let memory = Memory::<256>::of_unshared();
    let make = |number| memory.value(number + 1);
    let map = Map { cache: Cache::with(10, 1, Manual::default()), make, hash: colliding };
    for key in 0..100 {
        map.put(key % 30, key);
        map.get(key % 7);
        map.get_or_put(key % 11, key, FOREVER);
        map.remove(key % 13);
        assert_eq!(memory.live(), 2 * map.cache.len());
    }
    let items = map.cache.items(|| Ok::<_, OutOfMemory>(())).unwrap();
    map.cache.clear(|| ());
    assert_eq!(memory.live(), 2 * items.len());
    drop(items);
    assert_eq!(memory.live(), 0);
    (0..5).for_each(|key| drop(map.put(key, key)));
    drop(map);
    assert_eq!(memory.live(), 0);
}

thread_local! {
    /// How often this thread may still allocate memory.
    static ALLOWED: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The system's allocator, which refuses a thread what is beyond its allowance.
struct Refusing;

// SAFETY: the system's allocator does it all, or nobody does.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let allowed = ALLOWED.get();
        if allowed == 0 {
            return std::ptr::null_mut();
        }
        ALLOWED.set(if allowed == usize::MAX { allowed } else { allowed - 1 });
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// Runs an operation that puts 9 at the key 90, again and again, with one more allocation
/// allowed each time, until all of them are.
fn with_ever_more_memory(
    make: impl Fn() -> Numbers,
    operation: impl Fn(&Numbers, &mut Removed<Number>) -> Result<(), OutOfMemory>,
) {
    let mut failed = 0;
    for allowed in 0.. {
        let map = make();
        let before = map.items();
        let mut removed = Removed::default();
        ALLOWED.set(allowed);
        let result = operation(&map, &mut removed);
        let left = ALLOWED.replace(usize::MAX);
        let gone = sought::keys(&removed);
        let stays = |item: &&(usize, usize)| !gone.contains(&item.0);
        let mut expected: Vec<_> = before.iter().filter(stays).copied().collect();
        if result.is_ok() {
            expected.retain(|(key, _)| *key != 90);
            expected.push((90, 9));
        }
        expected.sort_unstable();
        assert_eq!(map.items(), expected, "with {allowed} allocations");
        failed += usize::from(result.is_err());
        if left > 0 {
            break;
        }
    }
    assert!(failed > 0, "it needs no memory");
}

fn nine(weight: u64, deadline: u64) -> Item<Number> {
    Item { key: Number(90), value: Number(9), weight, deadline }
}

#[test]
fn what_needs_memory_is_done_or_fails_and_loses_nothing() {
    let put = |weight, deadline| {
        move |map: &Numbers, removed: &mut Removed<Number>| {
            map.cache.put(&map.sought(90), nine(weight, deadline), removed)
        }
    };
    let full = || {
        let map = numbers(40, 1);
        (0..40).for_each(|key| drop(map.put(key, key)));
        map
    };
    let with_it = |deadline| {
        let map = numbers(UNBOUNDED, 1);
        (0..4).for_each(|key| drop(map.put_weighed(key, key, 1, deadline)));
        map.put(90, 1);
        map
    };
    with_ever_more_memory(|| numbers(UNBOUNDED, 4), put(1, FOREVER)); // all there is
    with_ever_more_memory(full, put(7, FOREVER)); // a list of what goes
    with_ever_more_memory(|| with_it(FOREVER), put(1, 100)); // the first timer
    with_ever_more_memory(|| with_it(50), put(1, 100)); // one more
    let replace_by_heavier = || {
        let map = full();
        map.put(90, 1);
        map
    };
    with_ever_more_memory(replace_by_heavier, put(7, FOREVER));
}

#[test]
fn what_is_too_heavy_by_now_goes_without_others_or_stays() {
    let map = numbers(4, 1);
    for key in [0, 1, 2, 90] {
        map.put(key, key);
    }
    let mut removed = Removed::default();
    let mut put = |number, weight, allowed| {
        let (key, value) = (Number(number), Number(number));
        let item = Item { key, value, weight, deadline: FOREVER };
        ALLOWED.set(allowed);
        let result = map.cache.put(&map.sought(number), item, &mut removed);
        ALLOWED.set(usize::MAX);
        (result, sought::keys(&removed).len())
    };
    assert_eq!(put(5, 1, usize::MAX), (Ok(()), 1));
    let mut there = map.items();
    // Somebody made the limit less than it weighs; there is no room in `removed`.
    assert_eq!(put(90, 5, 0), (Err(OutOfMemory), 1));
    assert_eq!(map.items(), there);
    assert_eq!(put(90, 5, usize::MAX), (Ok(()), 2));
    there.retain(|(key, _)| *key != 90);
    assert_eq!(map.items(), there);
}

#[test]
fn keys_of_one_hash_need_memory_to_be_told_apart() {
    let same = |_| (0, false);
    let map = || {
        let map = Map { hash: same, ..numbers(UNBOUNDED, 1) };
        map.put(90, 9);
        (0..20).for_each(|key| drop(map.put(2 * key, key)));
        map
    };
    let get = |map: &Numbers, _: &mut _| map.cache.get(&map.sought(90), drop).map(drop);
    with_ever_more_memory(map, get);
    let put = |map: &Numbers, removed: &mut Removed<Number>| {
        map.cache.put(&map.sought(90), nine(1, FOREVER), removed)
    };
    with_ever_more_memory(map, put);
}

#[test]
fn what_expires_needs_no_memory_to_go() {
    const MANY: usize = 200;
    for allowed in [0, 1, 2, usize::MAX] {
        let clock = Manual::default();
        let map = timed(MANY as u64, 1, &clock);
        (0..MANY).for_each(|key| drop(map.put_weighed(key, key, 1, 5)));
        clock.set(10);
        let mut gone = 0;
        ALLOWED.set(allowed);
        let expired = map.cache.expire(|_| gone += 1);
        ALLOWED.set(usize::MAX);
        assert_eq!((expired, gone, map.cache.len()), (MANY, MANY, 0));
    }
}

/// What a thread may do to the map, in the model's terms.
#[derive(Clone, Debug)]
enum Op {
    Get(usize),
    Contains(usize),
    Put(usize, usize, u64),
    GetOrPut(usize, usize, u64),
    Remove(usize),
    Clear,
    Expire,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..40_usize;
    let deadline = prop_oneof![Just(FOREVER), 1..30_u64];
    prop_oneof![
        4 => key.clone().prop_map(Op::Get),
        1 => key.clone().prop_map(Op::Contains),
        4 => (key.clone(), 0..1000_usize, deadline.clone()).prop_map(|(k, v, d)| Op::Put(k, v, d)),
        2 => (key.clone(), 0..1000_usize, deadline).prop_map(|(k, v, d)| Op::GetOrPut(k, v, d)),
        2 => key.prop_map(Op::Remove),
        1 => Just(Op::Clear),
        1 => Just(Op::Expire),
        1 => (0..5_u64).prop_map(Op::Wait),
    ]
}

/// What there is, with the time at which it goes.
#[derive(Default)]
struct Model {
    items: BTreeMap<usize, (usize, u64)>,
    now: u64,
}

impl Model {
    fn expire(&mut self) {
        let now = self.now;
        self.items.retain(|_, (_, deadline)| *deadline == FOREVER || *deadline > now);
    }

    fn get(&self, key: usize) -> Option<usize> {
        self.items.get(&key).map(|(value, _)| *value)
    }

    /// A deadline as it is given to the operation, and as it is kept.
    fn deadline(&self, from_now: u64) -> u64 {
        if from_now == FOREVER { FOREVER } else { self.now + from_now }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, ..Default::default() })]

    #[test]
    fn it_is_a_map(
        ops in prop::collection::vec(op(), 0..200),
        shards in prop_oneof![Just(1_usize), Just(4)],
        collide: bool,
    ) {
        let clock = Manual::default();
        let hash = if collide { colliding } else { spread };
        let map = Map { hash, ..timed(UNBOUNDED, shards, &clock) };
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Get(key) => prop_assert_eq!(map.get(key), model.get(key)),
                Op::Contains(key) => prop_assert_eq!(map.contains(key), model.get(key).is_some()),
                Op::Put(key, value, from_now) => {
                    let deadline = model.deadline(from_now);
                    map.put_weighed(key, value, 1, deadline);
                    model.items.insert(key, (value, deadline));
                }
                Op::GetOrPut(key, value, from_now) => {
                    let deadline = model.deadline(from_now);
                    prop_assert_eq!(map.get_or_put(key, value, deadline), model.get(key));
                    model.items.entry(key).or_insert((value, deadline));
                }
                Op::Remove(key) => {
                    let removed = model.items.remove(&key).map(|(value, _)| value);
                    prop_assert_eq!(map.remove(key), removed);
                }
                Op::Clear => {
                    map.cache.clear(|| ());
                    model.items.clear();
                }
                Op::Expire => {
                    map.cache.expire(drop);
                    prop_assert_eq!(map.cache.len(), model.items.len());
                }
                Op::Wait(time) => {
                    model.now += time;
                    clock.set(model.now);
                    model.expire();
                }
            }
            let items: Vec<_> = model.items.iter().map(|(key, (value, _))| (*key, *value)).collect();
            prop_assert_eq!(map.items(), items);
        }
    }
}

/// What is put into a full cache at once changes it as what is put in steps does.
#[test]
fn what_is_put_at_once_is_put_as_ever() {
    let mut random = Random(1);
    for round in 0..if cfg!(miri) { 4 } else { 120 } {
        let (weights, times) = (round % 3 == 0, round % 5 == 0);
        // A cache with weights is not divided.
        let shards = if weights || round % 2 == 0 { 1 } else { 4 };
        let clocks = [Manual::default(), Manual::default()];
        let limit = 3 + random.below(60);
        let maps = clocks.each_ref().map(|clock| timed(limit as u64, shards, clock));
        for step in 0..400 {
            let key = random.below(limit * 2);
            let weight = if weights { 1 + random.below(3) as u64 } else { 1 };
            let deadline = if times && random.below(4) == 0 { step + 20 } else { FOREVER };
            for clock in &clocks {
                clock.set(step);
            }
            match random.below(8) {
                0 => assert_eq!(maps[0].get(key), maps[1].get(key)),
                1 => assert_eq!(maps[0].remove(key), maps[1].remove(key)),
                _ => {
                    let mut removed = Removed::default();
                    let item = Item { key: Number(key), value: Number(key), weight, deadline };
                    maps[0].cache.put(&maps[0].sought(key), item, &mut removed).unwrap();
                    let gone = maps[1].put_weighed(key, key, weight, deadline);
                    assert_eq!(sought::keys(&removed), gone);
                }
            }
            assert_eq!(maps[0].cache.weight(), maps[1].cache.weight());
        }
        assert_eq!(maps[0].items(), maps[1].items());
    }
}

/// Numbers as chance will have it. (Marsaglia's xorshift.)
struct Random(u64);

impl Random {
    #[allow(clippy::cast_possible_truncation)] // some bits are meant
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % end
    }
}

/// A stream of keys.
struct Requests {
    /// The shares of all keys up to each, of those that come more than once.
    shares: Vec<f64>,
    /// One request in so many is for a key that comes once; 0 is none.
    scan: usize,
    state: u64,
    count: usize,
}

impl Requests {
    fn zipf(keys: usize, skew: f64, scan: usize) -> Self {
        let mut sum = 0.0;
        let shares = (1..=keys).map(|rank| {
            sum += (rank as f64).powf(-skew);
            sum
        });
        Self { shares: shares.collect(), scan, state: 1, count: 0 }
    }
}

impl Iterator for Requests {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.count += 1;
        if self.scan > 0 && self.count.is_multiple_of(self.scan) {
            return Some(self.shares.len() + self.count);
        }
        // splitmix64
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let share = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        let sought = share * self.shares.last()?;
        Some(self.shares.partition_point(|sum| *sum < sought))
    }
}

/// The hit ratios, in percent, of the model and of the cache.
fn ratios(requests: impl Iterator<Item = usize>, capacity: usize, shards: usize) -> (f64, f64) {
    let map = numbers(capacity as u64, shards);
    let mut model = S3Fifo::new(capacity);
    let (mut expected, mut hits, mut count) = (0, 0, 0);
    for key in requests {
        count += 1;
        expected += usize::from(model.access(key));
        hits += usize::from(map.get_or_put(key, key, FOREVER).is_some());
    }
    let percent = |hits: usize| 100.0 * hits as f64 / f64::from(count);
    (percent(expected), percent(hits))
}

#[cfg_attr(miri, ignore)]
#[test]
fn the_hit_ratio_is_that_of_the_model() {
    const KEYS: usize = 20_000;
    const REQUESTS: usize = 200_000;
    for (shards, capacities) in
        [(1, &[KEYS / 100, KEYS / 10][..]), (16, &[KEYS / 10]), (4, &[KEYS / 20])]
    {
        for &capacity in capacities {
            for (skew, scan) in [(0.7, 0), (0.9, 0), (1.1, 0), (1.0, 2), (1.0, 5)] {
                let requests = Requests::zipf(KEYS, skew, scan).take(REQUESTS);
                let (expected, found) = ratios(requests, capacity, shards);
                let what = format!(
                    "{found:.2} % for {expected:.2} % of Zipf {skew}, scans {scan}, {capacity} in {shards}"
                );
                println!("{what}");
                assert!((found - expected).abs() < 0.5, "{what}");
            }
            let around = (0..REQUESTS).map(|i| i % (capacity * 3 / 2));
            let (expected, found) = ratios(around, capacity, shards);
            println!("{found:.2} % for {expected:.2} % of a loop, {capacity} in {shards}");
            assert!((found - expected).abs() < 0.5, "{found} {expected}");
        }
    }
}

const THREADS: usize = 4;
const ROUNDS: usize = if cfg!(miri) { 50 } else { 100_000 };

/// Each thread puts values that tell their key and itself; what anybody reads tells the
/// key that it was read by.
fn threads_find_what_was_put(limit: u64, shards: usize, hash: fn(usize) -> (u64, bool)) {
    const KEYS: usize = 64;
    until_threads_meet(|| {
        let memory = Memory::<{ 2 * KEYS + 8 * THREADS }>::of_unshared();
        let make = |number| memory.value(number + 1);
        let map = Map { cache: Cache::with(limit, shards, Manual::default()), make, hash };
        let check = |key: usize, value: Option<usize>| {
            let Some(value) = value else { return false };
            assert_eq!(value / THREADS, key, "another key's value");
            true
        };
        let foreign = on_threads(THREADS, |thread| {
            let mut random = Requests::zipf(KEYS, 0.5, 0);
            random.state = thread as u64;
            let mut foreign = 0;
            for round in 0..ROUNDS {
                let key = random.next().expect("endless");
                let value = key * THREADS + thread;
                let found = match round % 8 {
                    0 => {
                        map.put(key, value);
                        None
                    }
                    1 => map.get_or_put(key, value, FOREVER),
                    2 => map.remove(key),
                    _ => map.get(key),
                };
                let was_there = check(key, found);
                foreign += usize::from(was_there && found != Some(value));
            }
            foreign
        });
        assert!(map.cache.len() as u64 <= limit);
        let items = map.items();
        assert!(items.windows(2).all(|pair| pair[0].0 < pair[1].0), "a key is there twice");
        assert_eq!(memory.live(), 2 * items.len());
        map.cache.clear(|| ());
        assert_eq!(memory.live(), 0);
        foreign.into_iter().sum()
    });
}

#[test]
fn threads_find_what_was_put_in_a_large_cache() {
    threads_find_what_was_put(UNBOUNDED, 4, spread);
}

#[test]
fn threads_find_what_was_put_in_a_small_cache() {
    threads_find_what_was_put(20, 1, colliding);
    threads_find_what_was_put(20, 4, spread);
}

/// In a divided cache each thread makes room in all shards, for items that weigh more than one may hold.
#[test]
fn threads_keep_account_of_weights_in_a_divided_cache() {
    const LIMIT: u64 = 200;
    until_threads_meet(|| {
        let map = numbers(LIMIT, 4);
        let evicted = on_threads(THREADS, |thread| {
            let mut random = Requests::zipf(100, 0.5, 0);
            random.state = thread as u64;
            let mut next = || random.next().expect("endless");
            let mut evicted = 0;
            for round in 0..ROUNDS {
                let (key, weight) = (next(), next() as u64 * next() as u64 % 80);
                evicted += map.put_weighed(key, round, weight, FOREVER).len();
                if round % 8 == 0 {
                    map.remove(next());
                }
            }
            evicted
        });
        assert!(map.cache.weight() <= LIMIT.into());
        map.cache.clear(|| ());
        // All that was given out has come back.
        (0..2).for_each(|key| assert!(map.put_weighed(key, 0, LIMIT / 2, FOREVER).is_empty()));
        evicted.into_iter().sum()
    });
}

#[test]
fn what_becomes_heavier_may_take_the_room_of_all_shards() {
    let map = numbers(100, 4);
    (0..100).for_each(|key| drop(map.put(key, key)));
    for (weight, left) in [(60, 41), (1, 41), (100, 1)] {
        let evicted = map.put_weighed(99, 0, weight, FOREVER);
        assert!(!evicted.contains(&99));
        assert_eq!((map.get(99), map.cache.len()), (Some(0), left), "{weight}");
    }
    assert_eq!((map.put_weighed(99, 0, 101, FOREVER), map.cache.len()), (vec![99], 0));
}

/// What went for it is kept for it: others, who put all the while, must not live on that.
#[test]
fn a_heavy_item_comes_in_beside_writers_of_light_ones() {
    const LIMIT: usize = 1000;
    const PUTS: usize = if cfg!(miri) { 500 } else { 200_000 };
    for is_there in [false, true] {
        let map = numbers(LIMIT as u64, 4);
        (0..=LIMIT).for_each(|key| drop(map.put(key, key)));
        let is_in = AtomicUsize::new(0);
        let evicted = on_threads(3, |thread| {
            if thread > 0 {
                let more = |_: &usize| is_in.load(Relaxed) == 0;
                (1..PUTS).take_while(more).for_each(|n| drop(map.put(n * 3 + thread, n)));
                return 0;
            }
            let mut most = 0;
            for round in 0..20 {
                let key = usize::MAX / 2 - if is_there { 0 } else { round };
                if is_there {
                    map.put_weighed(key, 0, 1, FOREVER);
                }
                most = most.max(map.put_weighed(key, 0, LIMIT as u64 / 2, FOREVER).len());
            }
            is_in.store(1, Relaxed);
            most
        });
        // Once what its shard had, and then what it weighs.
        assert!(evicted[0] <= 2 * LIMIT, "{} had to go", evicted[0]);
    }
}

/// They do not wait for one another, each with half of what there is; and when the limit is less
/// by then, it is kept.
#[test]
fn heavy_items_come_in_beside_one_another() {
    const LIMIT: u64 = 1000;
    let map = numbers(LIMIT, 4);
    on_threads(3, |thread| {
        for round in 0..ROUNDS / 50 {
            for light in 0..100 {
                map.put(1000 + light * 3 + thread, 0);
            }
            map.put_weighed(thread + 3 * (round % 50), 0, LIMIT * 3 / 4 + thread as u64, FOREVER);
            if thread == 0 && round % 8 == 0 {
                map.cache.set_limit(LIMIT - round as u64 % 5 * 100, drop).unwrap();
            }
        }
    });
    map.cache.set_limit(LIMIT, drop).unwrap();
    assert!(map.cache.weight() <= LIMIT.into());
    map.cache.clear(|| ());
    assert!((0..LIMIT as usize).all(|key| map.put(key, 0).is_empty()));
}

/// Which keys of these the first one of four shards gets: a snapshot looks at one shard after the other.
fn of_first_shard(keys: std::ops::Range<usize>) -> Vec<usize> {
    let map = numbers(UNBOUNDED, 4);
    keys.for_each(|key| drop(map.put(key, key)));
    let clear = || {
        map.cache.clear(|| ());
        Ok::<_, OutOfMemory>(())
    };
    map.cache.keys(clear).unwrap().iter().map(|key| key.0).collect()
}

#[test]
fn a_shard_that_has_less_than_its_share_takes_from_others() {
    let map = numbers(100, 4);
    let own = of_first_shard(0..1000);
    let others: Vec<_> = (0..1000).filter(|key| !own.contains(key)).collect();
    others.iter().take(100).for_each(|key| assert!(map.put(*key, 0).is_empty()));
    for key in &own[..100] {
        assert_eq!(map.put_weighed(*key, 0, 1, FOREVER).len(), 1);
    }
    let count = map.items().iter().filter(|(key, _)| own.contains(key)).count();
    assert!((12..=25).contains(&count), "{count} of a share of 25");
}

#[test]
fn a_shard_that_has_less_than_its_share_keeps_that_for_a_heavy_item() {
    let own = of_first_shard(0..1000);
    let others: Vec<_> = (0..1000).filter(|key| !own.contains(key)).take(90).collect();
    for (key, weight) in [(own[0], 13), (own[10], 12)] {
        let map = numbers(100, 4);
        let all = own[..10].iter().chain(&others);
        all.for_each(|key| assert!(map.put(*key, 0).is_empty()));
        let evicted = map.put_weighed(key, 0, weight, FOREVER);
        assert_eq!(evicted.len(), 12);
        assert!(evicted.iter().all(|key| others.contains(key)), "{evicted:?}");
    }
}

/// Also if it is the last of those that go under one lock.
#[test]
fn what_more_goes_than_was_wanted_is_given_back() {
    const LIMIT: u64 = 1200;
    let own = of_first_shard(0..2000);
    let others: Vec<_> = (0..2000).filter(|key| !own.contains(key)).collect();
    for weight in (1..LIMIT / 2).step_by(if cfg!(miri) { 97 } else { 1 }) {
        let map = numbers(LIMIT, 4);
        for key in &others {
            map.put_weighed(*key, 0, 2, FOREVER);
        }
        map.put_weighed(own[0], 0, weight, FOREVER);
        assert!(map.contains(own[0]));
        map.cache.clear(|| ());
        assert!(map.put_weighed(0, 0, LIMIT - 1, FOREVER).is_empty());
        assert!(map.put_weighed(1, 0, 1, FOREVER).is_empty());
        assert_eq!(map.put_weighed(2, 0, 1, FOREVER).len(), 1);
    }
}

#[test]
fn the_first_weight_tells_whether_a_weighed_cache_is_divided() {
    let bytes = |weighed, weight| {
        let map = Map { cache: Cache::new(100_000, weighed), make: Number, hash: spread };
        map.put_weighed(0, 0, weight, FOREVER);
        map.cache.bytes()
    };
    assert!(bytes(true, 1) > bytes(true, 100));
    assert_eq!((bytes(true, 1), bytes(true, 100)), (bytes(false, 1), bytes(true, 0)));
}

/// Readers look for keys that are there all the while; others come and go, in the same
/// chains, and the table grows.
#[test]
fn what_is_there_is_never_missed() {
    const STEADY: usize = 8;
    until_threads_meet(|| {
        let map = numbers(UNBOUNDED, 1);
        (0..STEADY).for_each(|key| drop(map.put(key, 0)));
        let running = AtomicUsize::new(1);
        let passes = on_threads(THREADS, |thread| {
            let mut passes = 0;
            if thread == 0 {
                for round in 0..ROUNDS {
                    let key = STEADY + round % 1000;
                    map.put(key, 0);
                    map.put(round % STEADY, round);
                    map.remove(STEADY + (round + 500) % 1000);
                }
                running.store(0, Relaxed);
            }
            while thread > 0 && running.load(Relaxed) == 1 {
                (0..STEADY).for_each(|key| assert!(map.get(key).is_some(), "{key} was missed"));
                passes += 1;
            }
            passes
        });
        passes.into_iter().sum()
    });
}
