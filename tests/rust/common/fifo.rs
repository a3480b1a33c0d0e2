//! The queue's operations as data, and what they mean for a plain queue.

use std::collections::VecDeque;

use lockfree::engine::queue::segments::{SLOTS, START};
use lockfree::engine::{Pointer, Queue, Refusal, TryGet};
use lockfree::shim;

/// An operation. Values are numbers, for whatever the queue makes of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Put(u32),
    /// Puts so many numbers, counted up from the first one; in one step, which
    /// may be fewer.
    PutSome(u32, usize),
    ForcePut(u32),
    Get,
    /// Gets up to so many in one step, for which so many are not too many.
    GetSome(usize),
    /// Gets what is left, also in a queue that is shut.
    Drain,
    Close,
    Shut,
    Len,
    Finish(u64),
    Unfinished,
}

/// What an operation returned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// What was got or displaced.
    Values(Vec<u32>),
    /// How many were put, are there, or are unfinished.
    Number(u64),
    /// Whether this call closed the queue, or finished the last value.
    Truth(bool),
    Full,
    Empty,
    Closed,
    /// No more than so many are unfinished.
    TooMany(u64),
}

use Answer::{Closed, Empty, Full, Number, TooMany, Truth, Values};

impl Op {
    /// Runs the operation on a queue, again where a moment's wait is asked for.
    pub(crate) fn run<T: Pointer + From<u32> + Into<u32>>(self, queue: &Queue<T>) -> Answer {
        match self {
            Op::Put(value) => insist(|| match queue.try_put(value.into()) {
                Ok(()) => Some(Number(1)),
                Err((_, refusal)) => refused(refusal),
            }),
            Op::PutSome(first, count) => {
                let mut values = numbers(first, count).map(T::from).collect::<Vec<_>>().into_iter();
                insist(|| match queue.try_put_some(&mut values) {
                    Ok(count) => Some(Number(count as u64)),
                    Err(refusal) => refused(refusal),
                })
            }
            Op::ForcePut(value) => insist(|| match queue.force_put(value.into()) {
                Ok(displaced) => Some(Values(displaced.map(T::into).into_iter().collect())),
                Err((_, refusal)) => refused(refusal),
            }),
            Op::Get => insist(|| match queue.try_get() {
                TryGet::Got(value) => Some(Values(vec![value.into()])),
                nothing => nothing_got(&nothing),
            }),
            Op::GetSome(count) => get_some(|sink| queue.try_get_some(count, sink)),
            Op::Drain => {
                let mut all = Vec::new();
                while let Values(some) = get_some(|sink| queue.get_some(usize::MAX, sink)) {
                    all.extend(some);
                }
                Values(all)
            }
            Op::Close => Truth(queue.close()),
            Op::Shut => {
                queue.shut();
                Closed
            }
            Op::Len => Number(queue.len() as u64),
            Op::Finish(count) => queue.finish(count).map_or_else(TooMany, Truth),
            Op::Unfinished => Number(queue.unfinished()),
        }
    }
}

fn numbers(first: u32, count: usize) -> impl Iterator<Item = u32> {
    (first..).take(count)
}

/// Makes attempts until one has an answer.
fn insist(mut attempt: impl FnMut() -> Option<Answer>) -> Answer {
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        shim::spin(1);
    }
}

fn refused(refusal: Refusal) -> Option<Answer> {
    match refusal {
        Refusal::Full => Some(Full),
        Refusal::Closed => Some(Closed),
        Refusal::Unfilled => None,
        Refusal::OutOfMemory => panic!("there is memory"),
    }
}

fn nothing_got<R>(nothing: &TryGet<R>) -> Option<Answer> {
    match nothing {
        TryGet::Empty => Some(Empty),
        TryGet::Closed => Some(Closed),
        TryGet::Unfilled => None,
        TryGet::Got(_) => unreachable!("something was got"),
    }
}

/// One step that gets several values.
fn get_some<T: Into<u32>>(get: impl Fn(&mut dyn FnMut(T)) -> TryGet<usize>) -> Answer {
    let mut got = Vec::new();
    insist(|| match get(&mut |value| got.push(value.into())) {
        TryGet::Got(count) => {
            assert_eq!(count, got.len());
            Some(Values(std::mem::take(&mut got)))
        }
        nothing => nothing_got(&nothing),
    })
}

/// A queue that one thread uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    values: VecDeque<u32>,
    /// 0 is no limit.
    limit: usize,
    /// How many have been put, and how many have been got or displaced.
    put: u64,
    got: u64,
    done: u64,
    closed: bool,
    shut: bool,
}

impl Plain {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// What the operation does and returns.
    pub(crate) fn apply(&mut self, op: Op) -> Answer {
        match op {
            Op::Put(_) | Op::PutSome(..) | Op::ForcePut(_) if self.closed => Closed,
            Op::Get | Op::GetSome(_) if self.shut => Closed,
            Op::Put(value) => self.put_some(value, 1),
            Op::PutSome(first, count) => self.put_some(first, count),
            Op::ForcePut(value) => {
                let displaced = if self.room() == 0 { self.get(1) } else { Vec::new() };
                self.put_some(value, 1);
                self.done = self.put.min(self.done + displaced.len() as u64);
                Values(displaced)
            }
            Op::Get => self.get_some(1),
            Op::GetSome(count) => self.get_some(count),
            Op::Drain => Values(self.get(usize::MAX)),
            Op::Close => Truth(!std::mem::replace(&mut self.closed, true)),
            Op::Shut => {
                (self.closed, self.shut) = (true, true);
                Closed
            }
            Op::Len => Number(self.len() as u64),
            Op::Finish(count) if count > self.unfinished() => TooMany(self.unfinished()),
            Op::Finish(count) => {
                self.done += count;
                Truth(self.unfinished() == 0)
            }
            Op::Unfinished => Number(self.unfinished()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    fn unfinished(&self) -> u64 {
        self.put - self.done
    }

    pub(crate) fn room(&self) -> usize {
        if self.limit == 0 { usize::MAX } else { self.limit - self.len() }
    }

    fn put_some(&mut self, first: u32, count: usize) -> Answer {
        let count = count.min(self.room()).min(to_boundary(self.put));
        self.put += count as u64;
        self.values.extend(numbers(first, count));
        if count == 0 { Full } else { Number(count as u64) }
    }

    fn get_some(&mut self, count: usize) -> Answer {
        match self.get(count.min(to_boundary(self.got))) {
            none if none.is_empty() => {
                if self.closed {
                    Closed
                } else {
                    Empty
                }
            }
            values => Values(values),
        }
    }

    fn get(&mut self, count: usize) -> Vec<u32> {
        let got: Vec<_> = self.values.drain(..count.min(self.values.len())).collect();
        self.got += got.len() as u64;
        got
    }
}

/// How many slots there are from that of so many values before to the end of its segment.
fn to_boundary(before: u64) -> usize {
    usize::try_from(SLOTS - (START + before) % SLOTS).expect("few")
}
