//! The arguments of functions that PyO3 makes, looked at before PyO3 does.
//!
//! PyO3 finds a wrong call itself, and then makes a text and an exception; where there is no
//! memory for them it panics outside of what catches a panic, and the process ends. So each of
//! its functions is called through one of ours, which compares the call with the signature
//! that `inspect` shows, and raises in PyO3's place. What comes through is right.
//!
//! C functions have no data of their own, so ours are numbered: the number says which of
//! PyO3's is meant.
//!
//! # Invariants
//! - **A1** An entry is made at import, before its function is put in the place of PyO3's, and
//!   never changed.
//! - **A2** PyO3's definitions of methods are in memory that it has leaked: they live for ever and may
//!   be written to, at import, before anybody else has the module. Those of functions are
//!   constant, and get a copy.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::sync::OnceLock;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMappingProxy, PyString, PyTuple, PyType};

use super::error::{Error, Result};
use super::object::{Arg, borrowed};
use crate::engine::OutOfMemory;
use crate::engine::memory::growth::{boxed, put, room_for_one};

/// What ends the signature at the beginning of a C docstring.
pub(super) const SIGNATURE_END: &str = ")\n--\n\n";

/// Of which parameters a signature consists.
#[derive(Debug)]
struct Signature {
    class: Option<&'static str>,
    name: &'static str,
    parameters: Vec<Parameter>,
    any_position: bool,
    any_keyword: bool,
    /// The first so many may be given without a name.
    most: usize,
    /// The first so many must be given.
    least: usize,
}

#[derive(Debug)]
struct Parameter {
    name: &'static str,
    /// Whether it has a name for callers.
    named: bool,
    required: bool,
}

impl Signature {
    /// What `text` says, as `inspect` reads it.
    fn new(
        class: Option<&'static str>,
        name: &'static str,
        text: &'static str,
    ) -> std::result::Result<Self, OutOfMemory> {
        let mut parameters = Vec::new();
        let (mut any_position, mut any_keyword) = (false, false);
        let mut positional = None;
        for word in text.split(',').map(str::trim) {
            if word == "/" {
                for parameter in &mut parameters {
                    let parameter: &mut Parameter = parameter;
                    parameter.named = false;
                }
            } else if word.starts_with("**") {
                any_keyword = true;
            } else if word.starts_with('*') {
                any_position = word.len() > 1;
                positional = Some(parameters.len());
            } else if !word.is_empty() && !word.starts_with('$') {
                let name = word.split('=').next().unwrap_or(word);
                room_for_one(&mut parameters)?;
                let required = name.len() == word.len();
                put(&mut parameters, Parameter { name, named: true, required }); // room: above
            }
        }
        let most = positional.unwrap_or(parameters.len());
        let least = parameters.iter().position(|it| !it.required).unwrap_or(parameters.len());
        Ok(Self { class, name, parameters, any_position, any_keyword, most, least })
    }

    /// Compares a call with it: so many arguments without a name, and those of these names.
    #[inline]
    fn check<'a, 'py: 'a>(
        &self,
        given: usize,
        names: Option<impl Iterator<Item = Arg<'a, 'py>>>,
    ) -> Result<()> {
        if names.is_none() && (self.least..=self.most).contains(&given) {
            return Ok(());
        }
        self.look(given, names.into_iter().flatten())
    }

    fn look<'a, 'py: 'a>(
        &self,
        given: usize,
        names: impl Iterator<Item = Arg<'a, 'py>>,
    ) -> Result<()> {
        if given > self.most && !self.any_position {
            return self.refuse(format_args!("{}", TooMany { most: self.most, given }));
        }
        let mut filled = (1_u64 << given.min(self.most)) - 1;
        for name in names {
            let place = self.parameters.iter().position(|parameter| is_text(name, parameter.name));
            match place {
                Some(place) if filled & 1 << place != 0 && self.parameters[place].named => {
                    let name = self.parameters[place].name;
                    return self.refuse(format_args!("got multiple values for argument '{name}'"));
                }
                Some(place) if self.parameters[place].named => filled |= 1 << place,
                _ if self.any_keyword => {}
                Some(place) => {
                    let name = self.parameters[place].name;
                    return self.refuse(format_args!(
                        "got some positional-only arguments passed as keyword arguments: '{name}'"
                    ));
                }
                None => {
                    let name = name.cast::<PyString>().ok();
                    let name = name.as_ref().and_then(|name| name.to_str().ok()).unwrap_or("?");
                    return self
                        .refuse(format_args!("got an unexpected keyword argument '{name}'"));
                }
            }
        }
        let missing = |(place, parameter): (usize, &Parameter)| {
            (parameter.required && filled & 1 << place == 0).then_some(parameter.name)
        };
        match self.parameters.iter().enumerate().find_map(missing) {
            None => Ok(()),
            Some(name) => {
                self.refuse(format_args!("missing 1 required positional argument: '{name}'"))
            }
        }
    }

    #[cold]
    fn refuse(&self, what: fmt::Arguments<'_>) -> Result<()> {
        let name = self.name;
        Err(match self.class {
            Some(class) => Error::wrong_type(format_args!("{class}.{name}() {what}")),
            None => Error::wrong_type(format_args!("{name}() {what}")),
        })
    }
}

/// So many arguments without a name, where a function takes fewer.
pub(super) struct TooMany {
    pub(super) most: usize,
    pub(super) given: usize,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { most, given } = self;
        let s = if *most == 1 { "" } else { "s" };
        write!(f, "takes at most {most} positional argument{s} ({given} given)")
    }
}

fn is_text(name: Arg<'_, '_>, text: &str) -> bool {
    name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(|name| name == text))
}

/// A function of PyO3's.
#[derive(Debug)]
struct Entry<F> {
    /// None of one that ignores its arguments.
    signature: Option<Signature>,
    function: F,
}

impl<F> Entry<F> {
    /// Compares a call with the signature; the names are the keys of a dict, if that is not null.
    unsafe fn check(&self, args: *mut ffi::PyObject, keywords: *mut ffi::PyObject) -> Result<()> {
        let Some(signature) = &self.signature else { return Ok(()) };
        // SAFETY: called by attached threads, says the caller.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: a tuple, says the caller.
        let given = unsafe { ffi::PyTuple_GET_SIZE(args) }.cast_unsigned();
        // SAFETY: null or a dict, says the caller, which nobody else has.
        let keys = (!keywords.is_null()).then(|| unsafe { Keys::new(py, keywords) });
        signature.check(given, keys)
    }
}

/// The keys of a dict.
struct Keys<'py> {
    py: Python<'py>,
    dict: *mut ffi::PyObject,
    place: ffi::Py_ssize_t,
}

impl<'py> Keys<'py> {
    /// # Safety
    /// A dict, which lives and does not change as long as this and what it yields.
    unsafe fn new(py: Python<'py>, dict: *mut ffi::PyObject) -> Self {
        Self { py, dict, place: 0 }
    }
}

impl<'py> Iterator for Keys<'py> {
    type Item = Arg<'py, 'py>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut key, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: a dict, by `new`, and places for what comes out.
        let more =
            unsafe { ffi::PyDict_Next(self.dict, &raw mut self.place, &raw mut key, none) } != 0;
        // SAFETY: a key lives as long as it is in the dict.
        more.then(|| unsafe { borrowed(self.py, key) })
    }
}

/// The entries of one kind of function, and the functions of ours with the same numbers.
struct Kind<F: 'static, const N: usize> {
    entries: [OnceLock<Entry<F>>; N],
    functions: [F; N],
}

impl<F: Copy, const N: usize> Kind<F, N> {
    const fn new(functions: [F; N]) -> Self {
        Self { entries: [const { OnceLock::new() }; N], functions }
    }

    fn entry(&self, number: usize) -> &Entry<F> {
        self.entries[number].get().expect("A1")
    }

    /// Our function in place of PyO3's.
    fn instead(&self, function: F, signature: Option<Signature>) -> PyResult<F> {
        let mut entry = Entry { signature, function };
        for (place, instead) in self.entries.iter().zip(self.functions) {
            match place.set(entry) {
                Ok(()) => return Ok(instead),
                Err(back) => entry = back,
            }
        }
        Err(PyImportError::new_err("there are more functions than numbers for them"))
    }
}

macro_rules! numbered {
    ($function:ident: $($number:literal)*) => { Kind::new([$($function::<$number>),*]) };
}

static METHODS: Kind<ffi::PyCFunctionFastWithKeywords, 64> = numbered! {
    method: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
};

static CONSTRUCTORS: Kind<ffi::newfunc, 32> = numbered! {
    construct: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
};

static INITIALIZERS: Kind<ffi::initproc, 32> = numbered! {
    initialize: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
};

unsafe extern "C" fn method<const N: usize>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    given: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let entry = METHODS.entry(N);
    // SAFETY: called by attached threads.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: null or a tuple of strings, which lives during the call.
    let names_given = unsafe { Arg::from_ptr_or_opt(py, names) };
    // SAFETY: as above.
    let names_given = names_given.map(|names| unsafe { names.cast_unchecked::<PyTuple>() });
    let keywords = names_given.as_ref().map(|names| names.iter_borrowed());
    let signature = entry.signature.as_ref();
    let checked = signature.map_or(Ok(()), |it| it.check(given.cast_unsigned(), keywords));
    match checked {
        // SAFETY: called as PyO3's would be.
        Ok(()) => unsafe { (entry.function)(slf, args, given, names) },
        Err(error) => error.raise(),
    }
}

unsafe extern "C" fn construct<const N: usize>(
    class: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    mut keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let entry = CONSTRUCTORS.entry(N);
    if entry.signature.is_none() {
        // They are for `__init__`. PyO3 would make a dict of them.
        keywords = std::ptr::null_mut();
    }
    // SAFETY: a tuple, and null or a dict.
    match unsafe { entry.check(args, keywords) } {
        // SAFETY: called as PyO3's would be.
        Ok(()) => unsafe { (entry.function)(class, args, keywords) },
        Err(error) => error.raise(),
    }
}

unsafe extern "C" fn initialize<const N: usize>(
    slf: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int {
    let entry = INITIALIZERS.entry(N);
    // SAFETY: a tuple, and null or a dict.
    match unsafe { entry.check(args, keywords) } {
        // SAFETY: called as PyO3's would be.
        Ok(()) => unsafe { (entry.function)(slf, args, keywords) },
        Err(error) => {
            error.raise();
            -1
        }
    }
}

/// Puts our functions in place of PyO3's in a module. Call it at import, before anything of ours
/// is added to its classes.
pub(crate) fn guard(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let dict: Bound<'_, PyDict> = module.dict().copy()?;
    for (name, object) in dict {
        if let Ok(class) = object.cast::<PyType>() {
            guard_class(class)?;
        } else if object.get_type_ptr() == &raw mut ffi::PyCFunction_Type {
            guard_function(module, &name, &object)?;
        }
    }
    Ok(())
}

const KEYWORDS: c_int = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;

/// The text of a C string for ever.
///
/// # Safety
/// Null or a C string that is never freed.
unsafe fn text(string: *const c_char) -> &'static str {
    if string.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_str().unwrap_or_default()
}

/// What stands between the parentheses of the signature with which a docstring begins.
fn signature_in(doc: &'static str) -> Option<&'static str> {
    let begin = doc.find('(')? + 1;
    let end = doc.find(SIGNATURE_END)?;
    doc.get(begin..end)
}

fn instead_of(
    def: &ffi::PyMethodDef,
    class: Option<&'static str>,
) -> PyResult<Option<ffi::PyMethodDefPointer>> {
    // SAFETY: null or a docstring of PyO3's, which lives for ever.
    let doc = unsafe { text(def.ml_doc) };
    let (KEYWORDS, Some(words)) = (def.ml_flags, signature_in(doc)) else { return Ok(None) };
    // SAFETY: a name of PyO3's, which lives for ever.
    let name = unsafe { text(def.ml_name) };
    let signature = Signature::new(class, name, words).map_err(Error::from)?;
    // SAFETY: the flags name the kind of the function.
    let function = unsafe { def.ml_meth.PyCFunctionFastWithKeywords };
    let instead = METHODS.instead(function, Some(signature))?;
    Ok(Some(ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: instead }))
}

fn guard_function(
    module: &Bound<'_, PyModule>,
    name: &Bound<'_, PyAny>,
    function: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = module.py();
    // SAFETY: an object of that type.
    let object = unsafe { &*function.as_ptr().cast::<ffi::PyCFunctionObject>() };
    // SAFETY: a function's definition lives for ever.
    let def = unsafe { &*object.m_ml };
    let Some(ml_meth) = instead_of(def, None)? else { return Ok(()) };
    let def = ffi::PyMethodDef { ml_meth, ..*def };
    let def = Box::leak(boxed(def).map_err(Error::from)?);
    // SAFETY: the definition lives for ever (A2); the rest is as it was.
    let made = unsafe { ffi::PyCFunction_NewEx(def, object.m_self, object.m_module) };
    // SAFETY: a new reference, or null with an exception set.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    module.setattr(name.cast::<PyString>()?, made)
}

fn guard_class(class: &Bound<'_, PyType>) -> PyResult<()> {
    let raw = class.as_type_ptr();
    // SAFETY: a live class, which lives for ever, being the module's, and nobody else has yet.
    let slots = unsafe { &mut *raw };
    // SAFETY: a class's name, which lives as long.
    let name = unsafe { text(slots.tp_name) };
    let name = name.rsplit('.').next().unwrap_or(name);
    let dict = class.getattr("__dict__")?;
    for object in dict.cast::<PyMappingProxy>()?.values()? {
        if object.get_type_ptr() == &raw mut ffi::PyMethodDescr_Type {
            // SAFETY: an object of that type.
            let def = unsafe { (*object.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_method };
            // SAFETY: A2.
            let def = unsafe { &mut *def };
            if let Some(instead) = instead_of(def, Some(name))? {
                def.ml_meth = instead;
            }
        }
    }
    // SAFETY: as the name.
    let Some(words) = signature_in(unsafe { text(slots.tp_doc) }) else { return Ok(()) };
    let signature = || Signature::new(None, name, words).map_err(Error::from);
    let mut of_new = Some(signature()?);
    if let Some(init) = slots.tp_init.filter(|_| dict.contains("__init__").unwrap_or(false)) {
        let instead = INITIALIZERS.instead(init, Some(signature()?))?;
        slots.tp_init = Some(instead);
        let before = Some(init as *mut c_void);
        replaced(class, ffi::Py_tp_init, &[c"__init__"], before, instead as *mut c_void)?;
        of_new = None;
    }
    if let Some(new) = slots.tp_new {
        let instead = CONSTRUCTORS.instead(new, of_new)?;
        slots.tp_new = Some(instead);
        replaced(class, ffi::Py_tp_new, &[], None, instead as *mut c_void)?;
    }
    Ok(())
}

/// Looks whether a slot that was written to is the one that the interpreter reads, and sees to
/// it that its methods in the class, which subclasses and `super()` find, call what it has now.
///
/// # Errors
/// An `ImportError`: it is not, or they did not call what it had before.
pub(super) fn replaced(
    class: &Bound<'_, PyType>,
    slot: c_int,
    methods: &[&CStr],
    before: Option<*mut c_void>,
    now: *mut c_void,
) -> PyResult<()> {
    // SAFETY: a live class, made at run time.
    let mut known = unsafe { ffi::PyType_GetSlot(class.as_type_ptr(), slot) } == now;
    for name in methods.iter().filter(|_| before.is_some()) {
        let method = class.getattr("__dict__")?.get_item(name.to_string_lossy().as_ref())?;
        if method.get_type_ptr() != &raw mut ffi::PyWrapperDescr_Type {
            known = false;
            continue;
        }
        // SAFETY: an object of that type, which lives as long as the class.
        let method = unsafe { &mut *method.as_ptr().cast::<ffi::PyWrapperDescrObject>() };
        known &= Some(std::mem::replace(&mut method.d_wrapped, now)) == before;
    }
    if known {
        return Ok(());
    }
    let text = "this Python keeps the slots of classes in a way that lockfree does not know";
    Err(PyImportError::new_err(text))
}
