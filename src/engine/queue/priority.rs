//! Priorities: numbers, and runs of numbers.
//!
//! # Idea and source
//! Integers of any size and IEEE 754 floats, in one exact total order, as Python
//! compares them: neither is rounded to the other's type. Each number has one
//! representation, so that equal ones are equal whatever they came from:
//!
//! - **N1** An integer that fits in 64 bits is an [`Number::Int`], be it from a float or not.
//! - **N2** Any other integer is a [`Number::Wide`], without leading zero words.
//! - **N3** A float that is no integer is a [`Number::Fraction`]. It is less than 2^53 in
//!   absolute value, for from there on all floats are integers: rounded down it fits in
//!   64 bits, which compares it with an integer exactly.
//!
//! Nothing here is shared between threads.

use std::cmp::Ordering;

use super::super::memory::arena::OutOfMemory;
use super::super::memory::growth::{boxed, boxed_slice, collected};

/// A number; never NaN.
#[derive(Debug, PartialEq)]
pub enum Number {
    /// Below all others.
    MinusInfinity,
    /// An integer of 64 bits (N1).
    Int(i64),
    /// A float that is no integer (N3).
    Fraction(f64),
    /// An integer that does not fit in 64 bits (N2).
    Wide(Box<Wide>),
    /// Above all others.
    Infinity,
}

/// A sign, and the words of an absolute value, the lowest first.
#[derive(Debug, PartialEq, Eq)]
pub struct Wide {
    negative: bool,
    magnitude: Vec<u64>,
}

impl Eq for Number {}

impl Number {
    /// The number that a float is, unless it is NaN.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn from_f64(value: f64) -> Result<Option<Self>, OutOfMemory> {
        /// 2^63, the first float beyond 64 bits.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        Ok(Some(if value.is_nan() {
            return Ok(None);
        } else if value.is_infinite() {
            if value > 0.0 { Self::Infinity } else { Self::MinusInfinity }
        } else if value.fract() != 0.0 {
            Self::Fraction(value)
        } else if (-LIMIT..LIMIT).contains(&value) {
            #[allow(clippy::cast_possible_truncation)] // it is an integer in that range
            Self::Int(value as i64)
        } else {
            Self::wide_of_f64(value)?
        }))
    }

    /// A float of 2^63 or more, in absolute value.
    fn wide_of_f64(value: f64) -> Result<Self, OutOfMemory> {
        let bits = value.to_bits();
        let significand = bits & ((1 << 52) - 1) | 1 << 52;
        // It is at least 11, for such a float.
        let shift = (bits >> 52 & 0x7ff) - 1075;
        let (words, shift) = (usize::try_from(shift / 64).expect("at most 15"), shift % 64);
        let rest = 64 - u32::try_from(shift).expect("below 64");
        let highest = [significand << shift, significand.checked_shr(rest).unwrap_or(0)];
        let magnitude = std::iter::repeat_n(0, words).chain(highest);
        Self::from_words(value < 0.0, collected(magnitude)?)
    }

    /// An integer by its sign and the words of its absolute value, the lowest first.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn from_words(negative: bool, mut magnitude: Vec<u64>) -> Result<Self, OutOfMemory> {
        while magnitude.last() == Some(&0) {
            magnitude.pop();
        }
        let small = match *magnitude {
            [] => Some(0),
            [word] if negative => 0_i64.checked_sub_unsigned(word),
            [word] => i64::try_from(word).ok(),
            _ => None,
        };
        match small {
            Some(int) => Ok(Self::Int(int)),
            None => boxed(Wide { negative, magnitude }).map(Self::Wide),
        }
    }

    /// Which part of the line it is in.
    fn region(&self) -> i8 {
        match self {
            Self::MinusInfinity => -2,
            Self::Wide(wide) if wide.negative => -1,
            Self::Int(_) | Self::Fraction(_) => 0,
            Self::Wide(_) => 1,
            Self::Infinity => 2,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Fraction(a), Self::Fraction(b)) => a.total_cmp(b),
            (Self::Int(a), Self::Fraction(b)) => compare(*a, *b),
            (Self::Fraction(a), Self::Int(b)) => compare(*b, *a).reverse(),
            (Self::Wide(a), Self::Wide(b)) if a.negative == b.negative => {
                let (x, y) = (&a.magnitude, &b.magnitude);
                let absolute =
                    x.len().cmp(&y.len()).then_with(|| x.iter().rev().cmp(y.iter().rev()));
                if a.negative { absolute.reverse() } else { absolute }
            }
            _ => self.region().cmp(&other.region()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An integer beside a float that is none (N3).
fn compare(int: i64, fraction: f64) -> Ordering {
    #[allow(clippy::cast_possible_truncation)] // N3
    let floor = fraction.floor() as i64;
    if int <= floor { Ordering::Less } else { Ordering::Greater }
}

/// A run of numbers, compared one by one; of two of which one begins with the other,
/// the shorter comes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    first: Number,
    rest: Box<[Number]>,
}

impl Priority {
    /// A run; it allocates if there is more than one number.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(
        first: Number,
        rest: impl IntoIterator<Item = Number, IntoIter: ExactSizeIterator>,
    ) -> Result<Self, OutOfMemory> {
        Ok(Self { first, rest: boxed_slice(rest)? })
    }
}
