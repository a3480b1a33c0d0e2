//! Raw method slots for the hot methods.
//!
//! A method that PyO3 generates costs some nanoseconds more per call, twice as
//! many with an argument, where the operation itself takes two. A raw `METH_NOARGS`, `METH_O` or
//! `METH_FASTCALL` function costs what a method of a built-in type costs. A
//! class lists its hot methods in a [`methods!`] table; [`install`] puts
//! method descriptors made from it on the type before anyone can use it. They
//! keep their name, qualified name, docstring and signature: the C convention
//! `name($self, ...)\n--\n\ntext` carries the last two.
//!
//! Every slot runs its body through [`enter`], which catches a panic, raises
//! errors, and lets a [`Deferral`] notice who is calling.
//!
//! A slot marked `quick` has an [`attempt`] before that: the case that neither fails
//! nor calls anything, outside the guard, because the guard's stack frame would
//! be a twentieth of the call.

use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyString, PyTuple};

use super::arguments::{TooMany, replaced};
use super::deferral::Deferral;
use super::error::{Error, Result, raise_panic};
use super::object::{Arg, IntoObject, borrowed};
use super::owned::Owned;
use crate::engine::memory::growth::boxed;

/// One row of a class's table.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) name: &'static CStr,
    pub(crate) doc: &'static CStr,
    pub(crate) call: Call,
}

/// The C function of a method, by its calling convention.
#[derive(Debug)]
pub(crate) enum Call {
    /// `METH_NOARGS`
    NoArgs(ffi::PyCFunction),
    /// `METH_O`
    One(ffi::PyCFunction),
    /// `METH_FASTCALL`
    Fast(ffi::PyCFunctionFast),
    /// `METH_FASTCALL | METH_KEYWORDS`
    Keywords(ffi::PyCFunctionFastWithKeywords),
}

/// The slots of a mapping.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) subscript: ffi::binaryfunc,
    pub(crate) assign: ffi::objobjargproc,
}

/// A class with raw slots.
pub(crate) trait FastClass: PyClass<Frozen = True> + Sync {
    /// The tables, written by [`methods!`].
    const METHODS: &'static [&'static [Method]];

    /// `obj[key]`, `obj[key] = value` and `del obj[key]`, in place of PyO3's.
    const MAPPING: Option<Mapping> = None;

    /// What watches who uses the object.
    fn deferral(&self) -> &Deferral;
}

/// Adds the tables of `T` to its type. Call it once, at import.
pub(crate) fn install<T: FastClass>(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<T>();
    for method in T::METHODS.iter().copied().flatten() {
        let (ml_meth, ml_flags) = match method.call {
            Call::NoArgs(f) => (ffi::PyMethodDefPointer { PyCFunction: f }, ffi::METH_NOARGS),
            Call::One(f) => (ffi::PyMethodDefPointer { PyCFunction: f }, ffi::METH_O),
            Call::Fast(f) => (ffi::PyMethodDefPointer { PyCFunctionFast: f }, ffi::METH_FASTCALL),
            Call::Keywords(f) => (
                ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: f },
                ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ),
        };
        let ml_name = method.name.as_ptr();
        // The descriptor keeps a pointer to its definition for ever.
        let def = ffi::PyMethodDef { ml_name, ml_meth, ml_flags, ml_doc: method.doc.as_ptr() };
        let def = Box::leak(boxed(def).map_err(Error::from)?);
        // SAFETY: the type is alive, the definition lives for ever, and its
        // flags name the convention of the function beside them.
        let descriptor = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), def) };
        // SAFETY: a new reference, or null with an exception set.
        let descriptor = unsafe { Bound::from_owned_ptr_or_err(py, descriptor) }?;
        class.setattr(method.name.to_string_lossy().as_ref(), descriptor)?;
    }
    if let Some(Mapping { subscript, assign }) = T::MAPPING {
        // SAFETY: a live class.
        let slots = unsafe { (*class.as_type_ptr()).tp_as_mapping };
        // SAFETY: part of the class, as in all that are made at run time; nobody uses it yet.
        let slots = unsafe { &mut *slots };
        let before = slots.mp_subscript.replace(subscript).map(|slot| slot as *mut c_void);
        let now = subscript as *mut c_void;
        replaced(&class, ffi::Py_mp_subscript, &[c"__getitem__"], before, now)?;
        let before = slots.mp_ass_subscript.replace(assign).map(|slot| slot as *mut c_void);
        let now = assign as *mut c_void;
        let methods = [c"__setitem__", c"__delitem__"];
        replaced(&class, ffi::Py_mp_ass_subscript, &methods, before, now)?;
    }
    Ok(())
}

/// Gives a class `obj += n` and `obj -= n`, in place of PyO3's. Call it once, at import.
pub(crate) fn install_inplace<T: FastClass>(
    py: Python<'_>,
    add: ffi::binaryfunc,
    subtract: ffi::binaryfunc,
) -> PyResult<()> {
    let class = py.get_type::<T>();
    // SAFETY: a live class.
    let slots = unsafe { (*class.as_type_ptr()).tp_as_number };
    // SAFETY: part of the class, as in all that are made at run time; nobody uses it yet.
    let slots = unsafe { &mut *slots };
    let before = slots.nb_inplace_add.replace(add).map(|slot| slot as *mut c_void);
    let now = add as *mut c_void;
    replaced(&class, ffi::Py_nb_inplace_add, &[c"__iadd__"], before, now)?;
    let before = slots.nb_inplace_subtract.replace(subtract).map(|slot| slot as *mut c_void);
    let now = subtract as *mut c_void;
    replaced(&class, ffi::Py_nb_inplace_subtract, &[c"__isub__"], before, now)
}

/// Runs the body of such a slot, which returns the object itself.
///
/// # Safety
/// As for [`enter`]; and the caller keeps `n` alive.
#[inline(always)]
pub(crate) unsafe fn enter_inplace<T: FastClass>(
    slf: *mut ffi::PyObject,
    n: *mut ffi::PyObject,
    body: impl FnOnce(&T, Arg<'_, '_>) -> Result<()>,
) -> *mut ffi::PyObject {
    let body = |this: &T, py: Python<'_>| {
        // SAFETY: the caller's promise.
        body(this, unsafe { borrowed(py, n) })?;
        // SAFETY: alive during the call, and the thread is attached.
        Ok(unsafe { Owned::from_borrowed(slf) })
    };
    // SAFETY: the caller's promises, passed on.
    unsafe { enter(slf, body) }
}

/// The instance that a method which PyO3 made is called on, with the use noted.
#[inline(always)]
pub(crate) fn used<'a, T: FastClass>(slf: &'a Bound<'_, T>) -> &'a T {
    slf.get().deferral().touch(slf.as_any().as_borrowed());
    slf.get()
}

/// Runs the body of a slot.
///
/// # Safety
/// The thread is attached and `slf` is an instance of `T`: a method descriptor
/// made for the type of `T` checks that before it calls.
#[inline(always)]
pub(crate) unsafe fn enter<T: FastClass, R: IntoObject>(
    slf: *mut ffi::PyObject,
    body: impl FnOnce(&T, Python<'_>) -> Result<R>,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's promises, passed on.
    unsafe { guard(slf, std::ptr::null_mut(), |this, py| Ok(body(this, py)?.into_object(py))) }
}

/// Runs the body of a slot that answers whether it succeeded: 0, or -1.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
pub(crate) unsafe fn enter_status<T: FastClass>(
    slf: *mut ffi::PyObject,
    body: impl FnOnce(&T, Python<'_>) -> Result<()>,
) -> c_int {
    // SAFETY: the caller's promises, passed on.
    unsafe { guard(slf, -1, |this, py| body(this, py).map(|()| 0)) }
}

/// Returns what the body does, or `failed` with an exception set.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn guard<T: FastClass, R: Copy>(
    slf: *mut ffi::PyObject,
    failed: R,
    body: impl FnOnce(&T, Python<'_>) -> Result<R>,
) -> R {
    let run = || {
        // SAFETY: the caller promises that the thread is attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: the caller of a method holds a reference to `slf` during it.
        let slf = unsafe { borrowed(py, slf) };
        // SAFETY: the caller promises the class.
        let this = unsafe { slf.cast_unchecked::<T>() };
        let this = this.get();
        this.deferral().touch(slf);
        body(this, py).unwrap_or_else(|error| {
            error.raise();
            failed
        })
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        raise_panic(&*payload);
        failed
    })
}

/// Runs the attempt of a quick slot; `None` where the guarded body must run.
///
/// # Safety
/// As for [`enter`]; and `attempt` cannot panic, because nothing catches it.
#[inline(always)]
pub(crate) unsafe fn attempt<T: FastClass, R: IntoObject>(
    slf: *mut ffi::PyObject,
    attempt: impl FnOnce(&T) -> Option<R>,
) -> Option<*mut ffi::PyObject> {
    // SAFETY: the caller promises that the thread is attached.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the caller of a method holds a reference to `slf` during it.
    let slf = unsafe { borrowed(py, slf) };
    // SAFETY: the caller promises the class.
    let this = unsafe { slf.cast_unchecked::<T>() };
    let this = this.get();
    if !this.deferral().settled() {
        return None;
    }
    attempt(this).map(|value| value.into_object(py))
}

/// Not so many positional arguments as the method takes: these.
#[derive(Debug)]
pub(crate) struct WrongCount(&'static str);

impl WrongCount {
    /// What the call of the method raises.
    #[cold]
    pub(crate) fn of(self, name: &CStr, given: ffi::Py_ssize_t) -> Error {
        let (name, expected) = (name.to_string_lossy(), self.0);
        Error::wrong_type(format_args!("{name} expected {expected}, got {given}"))
    }
}

/// Borrows at most one positional argument.
///
/// # Safety
/// `args` points to `given` live objects.
#[inline(always)]
pub(crate) unsafe fn at_most_one<'a>(
    py: Python<'_>,
    args: *const *mut ffi::PyObject,
    given: ffi::Py_ssize_t,
) -> std::result::Result<Option<Arg<'a, '_>>, WrongCount> {
    match given {
        0 => Ok(None),
        1 => {
            // SAFETY: there is one argument.
            let arg = unsafe { *args };
            // SAFETY: the caller of the method keeps its argument alive.
            Ok(Some(unsafe { borrowed(py, arg) }))
        }
        _ => Err(WrongCount("at most 1 argument")),
    }
}

/// Borrows one positional argument, or two.
///
/// # Safety
/// `args` points to `given` live objects.
#[inline(always)]
pub(crate) unsafe fn one_or_two<'a>(
    py: Python<'_>,
    args: *const *mut ffi::PyObject,
    given: ffi::Py_ssize_t,
) -> std::result::Result<(Arg<'a, '_>, Option<Arg<'a, '_>>), WrongCount> {
    if !(1..=2).contains(&given) {
        return Err(WrongCount("1 or 2 arguments"));
    }
    // SAFETY: there is one argument at least.
    let first = unsafe { *args };
    // SAFETY: the caller of the method keeps its arguments alive.
    let first = unsafe { borrowed(py, first) };
    let second = (given == 2).then(|| {
        // SAFETY: there are two.
        let second = unsafe { args.add(1) };
        // SAFETY: as above.
        let second = unsafe { *second };
        // SAFETY: as above.
        unsafe { borrowed(py, second) }
    });
    Ok((first, second))
}

/// Borrows exactly two positional arguments.
///
/// # Safety
/// `args` points to `given` live objects.
#[inline(always)]
pub(crate) unsafe fn pair<'a>(
    py: Python<'_>,
    args: *const *mut ffi::PyObject,
    given: ffi::Py_ssize_t,
) -> std::result::Result<[Arg<'a, '_>; 2], WrongCount> {
    if given != 2 {
        return Err(WrongCount("2 arguments"));
    }
    // SAFETY: there are two arguments, side by side.
    let [a, b] = unsafe { *args.cast::<[*mut ffi::PyObject; 2]>() };
    // SAFETY: the caller of the method keeps its arguments alive.
    Ok([a, b].map(|arg| unsafe { borrowed(py, arg) }))
}

/// What a `METH_FASTCALL | METH_KEYWORDS` function is given.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a, 'py> {
    py: Python<'py>,
    method: &'static CStr,
    args: *const *mut ffi::PyObject,
    positional: usize,
    names: Option<Borrowed<'a, 'py, PyTuple>>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// Of a call of `method`.
    ///
    /// # Safety
    /// `args` points to `given` objects and then to the values of `names`, which
    /// is null or a tuple of strings; all live as long as `'a`.
    #[inline(always)]
    pub(crate) unsafe fn new(
        py: Python<'py>,
        method: &'static CStr,
        args: *const *mut ffi::PyObject,
        given: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Self {
        // SAFETY: null or a tuple, as the caller promises.
        let names = unsafe { Borrowed::from_ptr_or_opt(py, names) };
        // SAFETY: as above.
        let names = names.map(|names| unsafe { names.cast_unchecked() });
        Self { py, method, args, positional: given.cast_unsigned(), names }
    }

    /// Whether there are none.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.positional == 0 && self.names.is_none()
    }

    /// The only argument of a call like `method(argument)`.
    #[inline(always)]
    pub(crate) fn lone(&self) -> Option<Arg<'a, 'py>> {
        (self.positional == 1 && self.names.is_none()).then(|| self.value(0))
    }

    /// The values of these parameters, of which the first `positional` need no
    /// keyword; those with an empty name take none, as in CPython's own tables.
    #[inline(always)]
    pub(crate) fn bind<const N: usize>(
        &self,
        positional: usize,
        parameters: [&str; N],
    ) -> Result<[Option<Arg<'a, 'py>>; N]> {
        if self.is_empty() {
            return Ok([None; N]);
        }
        self.bind_given(positional, &parameters)
    }

    #[cold]
    fn bind_given<const N: usize>(
        &self,
        positional: usize,
        parameters: &[&str; N],
    ) -> Result<[Option<Arg<'a, 'py>>; N]> {
        if self.positional > positional {
            let (most, given) = (positional, self.positional);
            return Err(self.refuse(format_args!("{}", TooMany { most, given })));
        }
        let mut values = [None; N];
        for (i, value) in values.iter_mut().enumerate().take(self.positional) {
            *value = Some(self.value(i));
        }
        for (i, name) in self.names.iter().flat_map(|names| names.iter_borrowed()).enumerate() {
            let name = name.cast::<PyString>().map_err(|error| Error::raised(error.into()))?;
            // Without a copy, unless it is no text: then it is nobody's name.
            let name = name.to_string_lossy();
            let place = parameters.iter().position(|parameter| *parameter == name);
            match place.filter(|_| !name.is_empty()) {
                Some(place) if values[place].is_none() => {
                    values[place] = Some(self.value(self.positional + i));
                }
                Some(_) => {
                    return Err(
                        self.refuse(format_args!("got multiple values for argument '{name}'"))
                    );
                }
                None => {
                    return Err(
                        self.refuse(format_args!("got an unexpected keyword argument '{name}'"))
                    );
                }
            }
        }
        Ok(values)
    }

    /// An argument that has no default.
    #[cold]
    pub(crate) fn required(&self, value: Option<Arg<'a, 'py>>, name: &str) -> Result<Arg<'a, 'py>> {
        let missing =
            || self.refuse(format_args!("missing 1 required positional argument: '{name}'"));
        value.ok_or_else(missing)
    }

    #[inline(always)]
    fn value(&self, place: usize) -> Arg<'a, 'py> {
        // SAFETY: `new` was promised so many.
        let value = unsafe { self.args.add(place) };
        // SAFETY: as above.
        let value = unsafe { *value };
        // SAFETY: alive, as `new` was promised.
        unsafe { borrowed(self.py, value) }
    }

    #[cold]
    fn refuse(&self, text: fmt::Arguments<'_>) -> Error {
        Error::wrong_type(format_args!("{}() {text}", self.method.to_string_lossy()))
    }
}

/// A table of methods: a row is a convention, the name, the docstring and the body,
/// a closure over `&Self`, the token and the arguments. One with `for T: Trait` is of
/// every class that has the trait; it stands where `T` is known.
macro_rules! methods {
    (for $generic:ident: $bound:path; $($rows:tt)*) => {
        $crate::python::boundary::fastcall::methods!(@ [$generic: $bound] [$generic] $generic; $($rows)*)
    };
    (@ $generics:tt $arguments:tt $class:ty;
        $($convention:ident $name:literal $doc:literal $($body:expr),+;)*
    ) => {
        &[$(
            $crate::python::boundary::fastcall::Method {
                name: $name,
                doc: $doc,
                call: $crate::python::boundary::fastcall::slot!(
                    $convention $generics $arguments $class, $name, $($body),+
                ),
            }
        ),*]
    };
    ($class:ty; $($rows:tt)*) => {
        $crate::python::boundary::fastcall::methods!(@ [] [] $class; $($rows)*)
    };
}

/// Implements [`FastClass`] for a class with one table of its own and a field `deferral`;
/// the table of a mapping begins with the [`attempt`] and the body of `obj[key]`, and the
/// body of assigning, or deleting, that.
macro_rules! fast_methods {
    (@ $class:ty; [$($constant:tt)*] $($rows:tt)*) => {
        impl $crate::python::boundary::fastcall::FastClass for $class {
            $($constant)*
            const METHODS: &'static [&'static [$crate::python::boundary::fastcall::Method]] =
                &[$crate::python::boundary::fastcall::methods!($class; $($rows)*)];

            #[inline(always)]
            fn deferral(&self) -> &$crate::python::boundary::deferral::Deferral {
                &self.deferral
            }
        }
    };
    ($class:ty; mapping $attempt:expr, $subscript:expr, $assign:expr; $($rows:tt)*) => {
        $crate::python::boundary::fastcall::fast_methods! {
            @ $class;
            [const MAPPING: Option<$crate::python::boundary::fastcall::Mapping> =
                Some($crate::python::boundary::fastcall::mapping!($class, $attempt, $subscript, $assign));]
            $($rows)*
        }
    };
    ($class:ty; $($rows:tt)*) => {
        $crate::python::boundary::fastcall::fast_methods! { @ $class; [] $($rows)* }
    };
}

/// The C functions around the bodies of a mapping's slots.
macro_rules! mapping {
    ($class:ty, $attempt:expr, $subscript:expr, $assign:expr) => {{
        unsafe extern "C" fn subscript(
            slf: *mut pyo3::ffi::PyObject,
            key: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            let attempt: fn(&$class, $crate::python::boundary::object::Arg<'_, '_>) -> Option<_> =
                $attempt;
            let attempt = |this: &$class| {
                // SAFETY: called for an object of this class, attached.
                let py = unsafe { pyo3::Python::assume_attached() };
                // SAFETY: the caller of the slot keeps its arguments alive.
                attempt(this, unsafe { $crate::python::boundary::object::borrowed(py, key) })
            };
            let done =
                // SAFETY: called for objects of this class; the table's author promises that the
                // attempt cannot panic.
                unsafe { $crate::python::boundary::fastcall::attempt::<$class, _>(slf, attempt) };
            match done {
                Some(object) => object,
                // SAFETY: as above.
                None => unsafe { guarded(slf, key) },
            }
        }
        #[cold]
        #[inline(never)]
        unsafe extern "C" fn guarded(
            slf: *mut pyo3::ffi::PyObject,
            key: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            let body: fn(
                &$class,
                $crate::python::boundary::object::Arg<'_, '_>,
            ) -> $crate::python::boundary::error::Result<_> = $subscript;
            let body = |this: &$class, py: pyo3::Python<'_>| {
                // SAFETY: the caller of the slot keeps its arguments alive.
                body(this, unsafe { $crate::python::boundary::object::borrowed(py, key) })
            };
            // SAFETY: called for objects of this class.
            unsafe { $crate::python::boundary::fastcall::enter::<$class, _>(slf, body) }
        }
        unsafe extern "C" fn assign(
            slf: *mut pyo3::ffi::PyObject,
            key: *mut pyo3::ffi::PyObject,
            value: *mut pyo3::ffi::PyObject,
        ) -> std::ffi::c_int {
            let body: fn(
                &$class,
                $crate::python::boundary::object::Arg<'_, '_>,
                Option<$crate::python::boundary::object::Arg<'_, '_>>,
            ) -> $crate::python::boundary::error::Result<()> = $assign;
            let body = |this: &$class, py: pyo3::Python<'_>| {
                // SAFETY: as above.
                let key = unsafe { $crate::python::boundary::object::borrowed(py, key) };
                // Null says that the item is to be deleted.
                let value = (!value.is_null()).then(|| {
                    // SAFETY: as above.
                    unsafe { $crate::python::boundary::object::borrowed(py, value) }
                });
                body(this, key, value)
            };
            // SAFETY: called for objects of this class.
            unsafe { $crate::python::boundary::fastcall::enter_status::<$class>(slf, body) }
        }
        $crate::python::boundary::fastcall::Mapping { subscript, assign }
    }};
}

/// The C function that runs a body behind the guard; `fast` is for `METH_FASTCALL`, and is
/// told who borrows the arguments, and as what.
macro_rules! guarded {
    (noargs $(#[$how:meta])* $function:ident [$($generics:tt)*] $class:ty, $body:expr) => {
        $(#[$how])*
        unsafe extern "C" fn $function<$($generics)*>(
            slf: *mut pyo3::ffi::PyObject,
            _: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            let body: fn(&$class, pyo3::Python<'_>) -> $crate::python::boundary::error::Result<_> = $body;
            // SAFETY: called by a method descriptor of this class.
            unsafe { $crate::python::boundary::fastcall::enter::<$class, _>(slf, body) }
        }
    };
    (fast [$borrow:ident $borrowed:tt => $($argument:ident: $type:ty),+] $(#[$how:meta])* $function:ident
        [$($generics:tt)*] $class:ty, $name:literal, $body:expr
    ) => {
        $(#[$how])*
        unsafe extern "C" fn $function<$($generics)*>(
            slf: *mut pyo3::ffi::PyObject,
            args: *mut *mut pyo3::ffi::PyObject,
            given: pyo3::ffi::Py_ssize_t,
        ) -> *mut pyo3::ffi::PyObject {
            let body: fn(
                &$class,
                pyo3::Python<'_>,
                $($type),+
            ) -> $crate::python::boundary::error::Result<_> = $body;
            let body = |this: &$class, py: pyo3::Python<'_>| {
                // SAFETY: METH_FASTCALL passes `given` live objects.
                let args = unsafe { $crate::python::boundary::fastcall::$borrow(py, args, given) };
                let $borrowed = args.map_err(|count| count.of($name, given))?;
                body(this, py, $($argument),+)
            };
            // SAFETY: called by a method descriptor of this class.
            unsafe { $crate::python::boundary::fastcall::enter::<$class, _>(slf, body) }
        }
    };
}

/// The C function around one body.
macro_rules! slot {
    (noargs $generics:tt [$($arguments:tt)*] $class:ty, $name:literal, $body:expr) => {{
        $crate::python::boundary::fastcall::guarded!(noargs slot $generics $class, $body);
        $crate::python::boundary::fastcall::Call::NoArgs(slot::<$($arguments)*>)
    }};
    (quick [$($generics:tt)*] [$($arguments:tt)*] $class:ty, $name:literal, $attempt:expr, $body:expr) => {{
        $crate::python::boundary::fastcall::guarded!(
            noargs #[cold] #[inline(never)] guarded [$($generics)*] $class, $body
        );
        unsafe extern "C" fn slot<$($generics)*>(
            slf: *mut pyo3::ffi::PyObject,
            none: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            let attempt: fn(&$class) -> Option<_> = $attempt;
            // SAFETY: called by a method descriptor of this class; the table's
            // author promises that the attempt cannot panic.
            let done = unsafe { $crate::python::boundary::fastcall::attempt::<$class, _>(slf, attempt) };
            match done {
                Some(object) => object,
                // SAFETY: as above.
                None => unsafe { guarded::<$($arguments)*>(slf, none) },
            }
        }
        $crate::python::boundary::fastcall::Call::NoArgs(slot::<$($arguments)*>)
    }};
    (one [$($generics:tt)*] [$($arguments:tt)*] $class:ty, $name:literal, $body:expr) => {{
        unsafe extern "C" fn slot<$($generics)*>(
            slf: *mut pyo3::ffi::PyObject,
            arg: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            let body: fn(
                &$class,
                pyo3::Python<'_>,
                $crate::python::boundary::object::Arg<'_, '_>,
            ) -> $crate::python::boundary::error::Result<_> = $body;
            let body = |this: &$class, py: pyo3::Python<'_>| {
                // SAFETY: the caller of the method keeps its argument alive.
                let arg = unsafe { $crate::python::boundary::object::borrowed(py, arg) };
                body(this, py, arg)
            };
            // SAFETY: called by a method descriptor of this class.
            unsafe { $crate::python::boundary::fastcall::enter::<$class, _>(slf, body) }
        }
        $crate::python::boundary::fastcall::Call::One(slot::<$($arguments)*>)
    }};
    (quick_optional $($rest:tt)*) => {
        $crate::python::boundary::fastcall::slot!(@quick [
            at_most_one arg =>
            arg: Option<$crate::python::boundary::object::Arg<'_, '_>>
        ] $($rest)*)
    };
    (one_or_two $($rest:tt)*) => {
        $crate::python::boundary::fastcall::slot!(@fast [
            one_or_two (first, second) =>
            first: $crate::python::boundary::object::Arg<'_, '_>,
            second: Option<$crate::python::boundary::object::Arg<'_, '_>>
        ] $($rest)*)
    };
    (quick_one_or_two $($rest:tt)*) => {
        $crate::python::boundary::fastcall::slot!(@quick [
            one_or_two (first, second) =>
            first: $crate::python::boundary::object::Arg<'_, '_>,
            second: Option<$crate::python::boundary::object::Arg<'_, '_>>
        ] $($rest)*)
    };
    (two $($rest:tt)*) => {
        $crate::python::boundary::fastcall::slot!(@fast [
            pair both =>
            both: [$crate::python::boundary::object::Arg<'_, '_>; 2]
        ] $($rest)*)
    };
    (@fast $how:tt $generics:tt [$($arguments:tt)*] $class:ty, $name:literal, $body:expr) => {{
        $crate::python::boundary::fastcall::guarded!(fast $how slot $generics $class, $name, $body);
        $crate::python::boundary::fastcall::Call::Fast(slot::<$($arguments)*>)
    }};
    (@quick [$borrow:ident $borrowed:tt => $($argument:ident: $type:ty),+] [$($generics:tt)*] [$($arguments:tt)*]
        $class:ty, $name:literal, $attempt:expr, $body:expr
    ) => {{
        $crate::python::boundary::fastcall::guarded!(
            fast [$borrow $borrowed => $($argument: $type),+] #[cold] #[inline(never)] guarded
            [$($generics)*] $class, $name, $body
        );
        unsafe extern "C" fn slot<$($generics)*>(
            slf: *mut pyo3::ffi::PyObject,
            args: *mut *mut pyo3::ffi::PyObject,
            given: pyo3::ffi::Py_ssize_t,
        ) -> *mut pyo3::ffi::PyObject {
            let attempt: fn(&$class, $($type),+) -> Option<_> = $attempt;
            let attempt = |this: &$class| {
                // SAFETY: called by a method descriptor, attached.
                let py = unsafe { pyo3::Python::assume_attached() };
                // SAFETY: METH_FASTCALL passes `given` live objects.
                let args = unsafe { $crate::python::boundary::fastcall::$borrow(py, args, given) };
                let $borrowed = args.ok()?;
                attempt(this, $($argument),+)
            };
            // SAFETY: called by a method descriptor of this class; the table's
            // author promises that the attempt cannot panic.
            let done = unsafe { $crate::python::boundary::fastcall::attempt::<$class, _>(slf, attempt) };
            match done {
                Some(object) => object,
                // SAFETY: as above.
                None => unsafe { guarded::<$($arguments)*>(slf, args, given) },
            }
        }
        $crate::python::boundary::fastcall::Call::Fast(slot::<$($arguments)*>)
    }};
    (keywords [$($generics:tt)*] [$($arguments:tt)*] $class:ty, $name:literal, $body:expr) => {{
        unsafe extern "C" fn slot<$($generics)*>(
            slf: *mut pyo3::ffi::PyObject,
            args: *const *mut pyo3::ffi::PyObject,
            given: pyo3::ffi::Py_ssize_t,
            names: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            let body: fn(
                &$class,
                pyo3::Python<'_>,
                $crate::python::boundary::fastcall::Arguments<'_, '_>,
            ) -> $crate::python::boundary::error::Result<_> = $body;
            let body = |this: &$class, py: pyo3::Python<'_>| {
                use $crate::python::boundary::fastcall::Arguments;
                // SAFETY: METH_FASTCALL | METH_KEYWORDS passes just that.
                body(this, py, unsafe { Arguments::new(py, $name, args, given, names) })
            };
            // SAFETY: called by a method descriptor of this class.
            unsafe { $crate::python::boundary::fastcall::enter::<$class, _>(slf, body) }
        }
        $crate::python::boundary::fastcall::Call::Keywords(slot::<$($arguments)*>)
    }};
}

pub(crate) use {fast_methods, guarded, mapping, methods, slot};

/// Panics on request, once per convention: the tests show with it that a panic
/// in a slot reaches Python as an exception.
#[pyclass(frozen, module = "lockfree._native", name = "_PanicProbe")]
#[derive(Debug)]
pub(crate) struct PanicProbe {
    deferral: Deferral,
}

#[pymethods]
impl PanicProbe {
    #[new]
    fn new() -> Self {
        Self { deferral: Deferral::default() }
    }
}

fast_methods! {
    PanicProbe;
    mapping |_, _| None::<()>, |_, key| -> Result<()> { panic!("deliberate: {}", &*key) },
        |_, key, value| panic!("deliberate: {} {}", &*key, value.is_some());
    noargs c"noargs" c"noargs($self, /)\n--\n\nPanic." |_, _| -> Result<()> {
        panic!("deliberate")
    };
    one c"one" c"one($self, arg, /)\n--\n\nPanic." |_, _, arg| -> Result<()> {
        panic!("deliberate: {}", &*arg)
    };
    quick c"quick" c"quick($self, /)\n--\n\nPanic." |_| None::<()>, |_, _| -> Result<()> {
        panic!("deliberate")
    };
    quick_optional c"optional" c"optional($self, arg=None, /)\n--\n\nPanic." |_, _| None::<()>,
        |_, _, arg| -> Result<()> {
            panic!("deliberate: {}", arg.is_some())
        };
    one_or_two c"one_or_two" c"one_or_two($self, a, b=None, /)\n--\n\nPanic."
        |_, _, a, b| -> Result<()> { panic!("deliberate: {} {}", &*a, b.is_some()) };
    quick_one_or_two c"quick_one_or_two" c"quick_one_or_two($self, a, b=None, /)\n--\n\nPanic."
        |_, _, _| None::<()>,
        |_, _, a, b| -> Result<()> {
            panic!("deliberate: {} {}", &*a, b.is_some())
        };
    two c"two" c"two($self, a, b, /)\n--\n\nPanic." |_, _, [a, b]| -> Result<()> {
        panic!("deliberate: {} {}", &*a, &*b)
    };
    keywords c"keywords" c"keywords($self, /, *, a=None)\n--\n\nPanic." |_, _, args| -> Result<()> {
        let [a] = args.bind(0, ["a"])?;
        panic!("deliberate: {}", a.is_some())
    };
}
