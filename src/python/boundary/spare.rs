//! Results of operations that have taken effect.
//!
//! An operation such as `exchange` knows its result when it has happened; to make the
//! object before would mean to make it again after each lost race, and to lose more of
//! them. So it is made afterwards, and where CPython then has no memory, out of what was
//! laid by at import. [`ready`] is asked before: as soon as something of that is
//! missing it is replaced, or the operation does not take place.
//!
//! What is laid by is enough for [`STOCK`] threads that are between `ready` and their
//! result at the moment when memory ends. With a GIL that is one.

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::error::{Error, Result};
use super::object::{IntoObject, made};
use super::owned::Owned;
use super::user;
use crate::shim::{AtomicBool, Mutex, Ordering::Relaxed};

/// How many results of each kind are laid by.
const STOCK: usize = if cfg!(Py_GIL_DISABLED) { 64 } else { 1 };

/// Whether something is missing.
static SHORT: AtomicBool = AtomicBool::new(false);

/// Held for a few instructions that call nothing, by attached threads.
static LAID_BY: Mutex<Stock> =
    Mutex::new(Stock { ints: [const { None }; STOCK], floats: [const { None }; STOCK] });

#[derive(Debug)]
struct Stock {
    ints: [Option<Int>; STOCK],
    floats: [Option<Float>; STOCK],
}

/// Whether an operation may take effect without asking [`ready`].
#[inline(always)]
pub(crate) fn is_full() -> bool {
    !SHORT.load(Relaxed)
}

/// Sees to it that an operation which takes effect now has a result.
#[inline(always)]
pub(crate) fn ready() -> Result<()> {
    if is_full() { Ok(()) } else { lay_by() }
}

/// Replaces what is missing.
#[cold]
fn lay_by() -> Result<()> {
    // SAFETY: operations are called by attached threads.
    let py = unsafe { Python::assume_attached() };
    // Before the look: what is taken after it sets the flag again.
    SHORT.store(false, Relaxed);
    let filled = (|| {
        while let Some(missing) = missing() {
            // Made without the lock: allocating may run user code.
            let new = match missing {
                Missing::Int(place) => Laid::Int(place, Int::new(py)?),
                Missing::Float(place) => Laid::Float(place, Float::new(py)?),
            };
            // What another thread was quicker with is dropped without the lock, too.
            drop(put(new));
        }
        Ok(())
    })();
    if filled.is_err() {
        SHORT.store(true, Relaxed);
    }
    filled
}

enum Missing {
    Int(usize),
    Float(usize),
}

enum Laid {
    Int(usize, Int),
    Float(usize, Float),
}

fn missing() -> Option<Missing> {
    let stock = LAID_BY.lock();
    let int = stock.ints.iter().position(Option::is_none).map(Missing::Int);
    int.or_else(|| stock.floats.iter().position(Option::is_none).map(Missing::Float))
}

fn put(laid: Laid) -> (Option<Int>, Option<Float>) {
    let mut stock = LAID_BY.lock();
    match laid {
        Laid::Int(place, int) => (stock.ints[place].replace(int), None),
        Laid::Float(place, float) => (None, stock.floats[place].replace(float)),
    }
}

fn take<T>(of: impl FnOnce(&mut Stock) -> &mut [Option<T>; STOCK]) -> Option<T> {
    let mut stock = LAID_BY.lock();
    let taken = of(&mut stock).iter_mut().find_map(Option::take);
    drop(stock);
    SHORT.store(true, Relaxed);
    taken
}

/// The result of an operation that has taken effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<T>(pub(crate) T);

/// What can be made without memory.
pub(crate) trait Spared: IntoObject + Copy {
    /// An object out of what was laid by, in place of the exception that is set.
    fn spared(self, py: Python<'_>) -> *mut ffi::PyObject;
}

impl<T: Spared> IntoObject for Answer<T> {
    #[inline(always)]
    fn into_object(self, py: Python<'_>) -> *mut ffi::PyObject {
        let object = self.0.into_object(py);
        if object.is_null() { self.0.spared(py) } else { object }
    }
}

impl Spared for i64 {
    #[cold]
    fn spared(self, py: Python<'_>) -> *mut ffi::PyObject {
        take(|stock| &mut stock.ints).map_or(std::ptr::null_mut(), |int| {
            // SAFETY: the token proves the thread attached.
            unsafe { ffi::PyErr_Clear() };
            int.finish(py, self.into()).into_raw()
        })
    }
}

impl Spared for f64 {
    #[cold]
    fn spared(self, _py: Python<'_>) -> *mut ffi::PyObject {
        take(|stock| &mut stock.floats).map_or(std::ptr::null_mut(), |float| {
            // SAFETY: the token proves the thread attached.
            unsafe { ffi::PyErr_Clear() };
            float.finish(self)
        })
    }
}

impl Spared for bool {
    fn spared(self, py: Python<'_>) -> *mut ffi::PyObject {
        // There are two, for ever.
        self.into_object(py)
    }
}

/// A float whose value is still to be written.
#[derive(Debug)]
struct Float(Owned);

impl Float {
    fn new(py: Python<'_>) -> Result<Self> {
        Ok(Self(made(py, 0.0)?.into()))
    }

    fn finish(self, value: f64) -> *mut ffi::PyObject {
        let float = self.0.into_raw();
        // SAFETY: a float that nobody else has seen.
        unsafe { (*float.cast::<ffi::PyFloatObject>()).ob_fval = value };
        float
    }
}

/// An int whose value, of up to 128 bits, is still to be written.
#[derive(Debug)]
pub(crate) struct Int(digits::Blank);

impl Int {
    /// Makes one.
    pub(crate) fn new(py: Python<'_>) -> Result<Self> {
        Ok(Self(digits::Blank::new(py)?))
    }

    /// The int of this value.
    pub(crate) fn finish(self, _py: Python<'_>, value: i128) -> Owned {
        self.0.finish(value)
    }
}

/// Lays by, and looks whether ints come out right.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    for shift in [0, 29, 30, 31, 59, 60, 62, 63, 90, 126] {
        for value in [1_i128 << shift, -1 << shift, (1 << shift) - 1, i128::MIN >> shift, 0] {
            let int = Int::new(py)?.finish(py, value);
            let expected = value.into_pyobject(py)?;
            let (int, expected) = (int.as_ptr(), expected.as_ptr());
            // Not by PyO3, whose declarations of these functions would become ours: see `user`.
            // SAFETY: two live ints, and the token proves the thread attached.
            let same = unsafe { user::equal(int, expected) } == 1
                // SAFETY: as above.
                && unsafe { user::hash(int) } == unsafe { user::hash(expected) };
            if !same {
                let text = "this Python's ints are laid out in a way that lockfree does not know";
                return Err(PyImportError::new_err(text));
            }
        }
    }
    Ok(lay_by()?)
}

/// The digits of a value, the lowest first, as many as `places` has.
fn write_digits(value: i128, bits: u32, places: impl Iterator<Item = *mut u8>, size: usize) {
    let mut rest = value.unsigned_abs();
    for place in places {
        #[allow(clippy::cast_possible_truncation)] // masked
        let digit = (rest & ((1 << bits) - 1)) as u32;
        rest >>= bits;
        let bytes = digit.to_ne_bytes();
        // A digit has two bytes or four.
        let bytes =
            if size == 2 && cfg!(target_endian = "big") { &bytes[2..] } else { &bytes[..size] };
        // SAFETY: the caller's place for a digit of that size.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, size) };
    }
}

/// Through the public interface: a writer each for a positive and a negative int.
#[cfg(Py_3_14)]
mod digits {
    use super::{Error, Owned, Python, Result, ffi, write_digits};

    #[derive(Debug)]
    struct Writer {
        writer: *mut ffi::PyLongWriter,
        digits: *mut u8,
    }

    // SAFETY: a writer is an object that nobody else has seen, used attached.
    unsafe impl Send for Writer {}

    #[derive(Debug)]
    pub(super) struct Blank([Writer; 2]);

    fn layout() -> (u32, usize) {
        // SAFETY: has no conditions.
        let layout = unsafe { ffi::PyLong_GetNativeLayout() };
        // SAFETY: a constant of the interpreter.
        let layout = unsafe { &*layout };
        (layout.bits_per_digit.into(), layout.digit_size.into())
    }

    fn count(bits: u32) -> usize {
        i128::BITS.div_ceil(bits) as usize
    }

    impl Writer {
        fn new(negative: bool) -> Result<Self> {
            let mut digits = std::ptr::null_mut();
            let places = count(layout().0).cast_signed();
            // SAFETY: called attached, with a place for the address.
            let writer =
                unsafe { ffi::PyLongWriter_Create(negative.into(), places, &raw mut digits) };
            if writer.is_null() {
                return Err(Error::pending());
            }
            let writer = Self { writer, digits: digits.cast() };
            writer.write(0);
            Ok(writer)
        }

        fn write(&self, value: i128) {
            let (bits, size) = layout();
            let places = (0..count(bits)).map(|place| self.digits.wrapping_add(place * size));
            write_digits(value, bits, places, size);
        }
    }

    impl Drop for Writer {
        fn drop(&mut self) {
            // SAFETY: not finished, and dropped attached.
            unsafe { ffi::PyLongWriter_Discard(self.writer) };
        }
    }

    impl Blank {
        pub(super) fn new(_py: Python<'_>) -> Result<Self> {
            Ok(Self([Writer::new(false)?, Writer::new(true)?]))
        }

        pub(super) fn finish(self, value: i128) -> Owned {
            let [positive, negative] = self.0;
            let chosen = if value < 0 { negative } else { positive };
            chosen.write(value);
            let writer = std::mem::ManuallyDrop::new(chosen).writer;
            // SAFETY: its digits are written, and it is not used again.
            let int = unsafe { ffi::PyLongWriter_Finish(writer) };
            // SAFETY: a new reference: nothing is allocated that might fail.
            unsafe { Owned::from_new(int) }.expect("a writer that is finished is an int")
        }
    }
}

/// As it is from 3.11 to 3.13, which change no more.
#[cfg(not(Py_3_14))]
mod digits {
    use super::{Error, Owned, Python, Result, ffi, write_digits};

    const BITS: u32 = 30;
    const SIZE: usize = 4;
    const PLACES: usize = i128::BITS.div_ceil(BITS) as usize;

    unsafe extern "C" {
        fn _PyLong_New(digits: ffi::Py_ssize_t) -> *mut ffi::PyObject;
    }

    #[repr(C)]
    struct Layout {
        object: ffi::PyObject,
        /// 3.11: how many digits, below zero for a negative int. Later: that number above three
        /// bits, of which two are the sign: 0 is positive, 1 zero, 2 negative.
        size: isize,
        digits: [u32; PLACES],
    }

    #[derive(Debug)]
    pub(super) struct Blank(Owned);

    impl Blank {
        pub(super) fn new(_py: Python<'_>) -> Result<Self> {
            // SAFETY: called attached.
            let int = unsafe { _PyLong_New(PLACES.cast_signed()) };
            // SAFETY: a new reference, or null with an exception set.
            let int = unsafe { Owned::from_new(int) }.ok_or_else(Error::pending)?;
            let blank = Self(int);
            blank.write(0);
            Ok(blank)
        }

        fn write(&self, value: i128) {
            let int = self.0.as_ptr().cast::<Layout>();
            // SAFETY: an int of so many digits, which nobody else has seen.
            let first = unsafe { &raw mut (*int).digits }.cast::<u8>();
            let places = (0..PLACES).map(|place| first.wrapping_add(place * SIZE));
            write_digits(value, BITS, places, SIZE);
            let used = (i128::BITS - value.unsigned_abs().leading_zeros()).div_ceil(BITS);
            let (used, sign) = (i128::from(used), value.signum());
            let size = if cfg!(Py_3_12) { used << 3 | (1 - sign) } else { used * sign };
            // SAFETY: as above.
            unsafe { (*int).size = isize::try_from(size).expect("a few digits") };
        }

        pub(super) fn finish(self, value: i128) -> Owned {
            // The small ones exist once.
            if let Ok(value @ -1024..=1024) = i64::try_from(value) {
                // SAFETY: called attached; it needs no memory, or writes here what it would.
                let small = unsafe { ffi::PyLong_FromLongLong(value) };
                // SAFETY: a new reference, or null with an exception set.
                if let Some(small) = unsafe { Owned::from_new(small) } {
                    return small;
                }
                // SAFETY: as above.
                unsafe { ffi::PyErr_Clear() };
            }
            self.write(value);
            self.0
        }
    }
}
