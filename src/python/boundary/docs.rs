//! Docstrings: what `help()` shows is what the stub says.
//!
//! The text stands once, in `python/lockfree/_native.pyi`, where type checkers, editors
//! and the documentation's site read it. `build.rs` makes a table of it, and here each
//! class and each of its members is given its row. (What PyO3 makes of a function is constant, so a
//! function includes its text: `#[doc = include_str!(...)]`.) The one-line comments beside
//! the methods in Rust are for those who read Rust.
//!
//! - **D1** The definitions that descriptors point to are in memory that PyO3,
//!   [`fastcall`](super::fastcall) or [`member`](super::member) has leaked: they live for ever, may be written to, and are
//!   written to only here, at import, before anybody else has the module.

use std::ffi::{CStr, CString, c_char};

use pyo3::ffi;
use pyo3::prelude::*;

use super::arguments::SIGNATURE_END;
use super::error::Error;
use crate::engine::memory::growth::text as words;

/// Class, member and text; a class's own docstring has no member.
static DOCSTRINGS: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/docstrings.rs"));

/// Gives the classes of a module, and their members, what the stub says of them.
#[pyfunction(name = "_document")]
#[pyo3(pass_module)]
pub(crate) fn document(module: &Bound<'_, PyModule>) -> PyResult<()> {
    for (class, member, text) in DOCSTRINGS {
        let class = module.getattr(*class)?;
        if member.is_empty() {
            class.setattr("__doc__", text)?;
        } else {
            describe(&class.getattr(*member)?, text)?;
        }
    }
    Ok(())
}

/// Gives a member of a class its docstring. What CPython itself says of an operator stays.
fn describe(member: &Bound<'_, PyAny>, text: &str) -> PyResult<()> {
    let object = member.as_ptr();
    let class = member.get_type_ptr();
    if class == &raw mut ffi::PyMethodDescr_Type {
        // SAFETY: an object of that type.
        let method = unsafe { (*object.cast::<ffi::PyMethodDescrObject>()).d_method };
        // SAFETY: D1.
        let method = unsafe { &mut *method };
        // SAFETY: null or a C string.
        let signature = unsafe { signature(method.ml_doc) };
        method.ml_doc = leaked(&words(format_args!("{signature}{text}")).map_err(Error::from)?)?;
    } else if class == &raw mut ffi::PyGetSetDescr_Type {
        // SAFETY: an object of that type.
        let getset = unsafe { (*object.cast::<ffi::PyGetSetDescrObject>()).d_getset };
        // SAFETY: D1.
        unsafe { (*getset).doc = leaked(text)? };
    } else if class == &raw mut ffi::PyMemberDescr_Type {
        // SAFETY: an object of that type.
        let member = unsafe { (*object.cast::<ffi::PyMemberDescrObject>()).d_member };
        // SAFETY: D1.
        unsafe { (*member).doc = leaked(text)? };
    } else if class != &raw mut ffi::PyWrapperDescr_Type {
        // A function or a property of `lockfree._async` or its like, or a class method of it.
        let function = member.getattr_opt("__func__")?;
        function.as_ref().unwrap_or(member).setattr("__doc__", text)?;
    }
    Ok(())
}

/// The signature that `inspect` reads, if the docstring begins with one.
///
/// # Safety
/// `doc` is null or a C string.
unsafe fn signature<'a>(doc: *const c_char) -> &'a str {
    if doc.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    let doc = unsafe { CStr::from_ptr(doc) }.to_str().unwrap_or_default();
    doc.find(SIGNATURE_END).map_or("", |end| &doc[..end + SIGNATURE_END.len()])
}

/// A C string for ever.
#[allow(clippy::disallowed_methods)] // at import, where nothing can be lost
fn leaked(text: &str) -> PyResult<*const c_char> {
    Ok(CString::new(text)?.into_raw())
}
