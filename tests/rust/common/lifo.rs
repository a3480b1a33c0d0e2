//! The stack's operations as data, and what they mean for a plain vector.

use lockfree::engine::Stack;

pub(crate) fn push<T: Clone>(stack: &Stack<T>, value: T) {
    assert!(stack.push(value).is_ok(), "there is memory");
}

pub(crate) fn push_many<T: Clone>(stack: &Stack<T>, values: Vec<T>) {
    assert!(stack.push_many(values.into_iter()).is_ok(), "there is memory");
}

/// Takes up to `limit` values, the uppermost first.
pub(crate) fn pop_many<T: Clone>(stack: &Stack<T>, limit: usize) -> Vec<T> {
    let mut popped = Vec::new();
    let count = stack.pop_many(limit, usize::MAX, |value| popped.push(value));
    assert_eq!(count, Ok(popped.len()));
    popped
}

/// An operation. Values are numbers, for whatever the stack makes of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Push(u32),
    /// Pushes so many numbers, counted up from the first one.
    PushMany(u32, u32),
    Pop,
    /// Pops up to so many.
    PopMany(usize),
    PopAll,
    Peek,
    Snapshot,
    Len,
    /// Has the stack give memory back.
    Trim,
}

use Op::{Len, Peek, Pop, PopAll, PopMany, Push, PushMany, Snapshot, Trim};

impl Op {
    /// Runs the operation on a stack. Returns the values that it returned, the
    /// first one first, or the length.
    pub(crate) fn run<T: Clone + From<u32> + Into<u32>>(self, stack: &Stack<T>) -> Vec<u32> {
        let mut values = Vec::new();
        match self {
            Push(value) => push(stack, value.into()),
            PushMany(first, count) => {
                push_many(stack, (first..first + count).map(T::from).collect());
            }
            Pop => values.extend(stack.pop().map(T::into)),
            PopMany(limit) => values.extend(pop_many(stack, limit).into_iter().map(T::into)),
            PopAll => values.extend(pop_many(stack, usize::MAX).into_iter().map(T::into)),
            Peek => values.extend(stack.peek().map(T::into)),
            Snapshot => values.extend(stack.snapshot().unwrap().into_iter().map(T::into)),
            Len => values.extend(u32::try_from(stack.len())),
            Trim => _ = stack.trim(),
        }
        values
    }

    /// What the operation does to a vector whose last value is the uppermost.
    /// Returns the same as [`Self::run`].
    pub(crate) fn meaning(self, stack: &mut Vec<u32>) -> Vec<u32> {
        let mut pop_many = |limit| {
            let rest = stack.len().saturating_sub(limit);
            stack.drain(rest..).rev().collect()
        };
        match self {
            Push(value) => stack.push(value),
            PushMany(first, count) => stack.extend(first..first + count),
            Pop => return pop_many(1),
            PopMany(limit) => return pop_many(limit),
            PopAll => return pop_many(usize::MAX),
            Peek => return stack.last().copied().into_iter().collect(),
            Snapshot => return stack.iter().rev().copied().collect(),
            Len => return u32::try_from(stack.len()).into_iter().collect(),
            Trim => (),
        }
        Vec::new()
    }
}
