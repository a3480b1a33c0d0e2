//! The strings by which attributes are asked for, made at import: where memory is short
//! there would be none, and PyO3 would panic.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// A name.
pub(crate) struct Name {
    text: &'static str,
    made: PyOnceLock<Py<PyString>>,
}

impl Name {
    const fn new(text: &'static str) -> Self {
        Self { text, made: PyOnceLock::new() }
    }

    /// The string.
    pub(crate) fn get<'py>(&'static self, py: Python<'py>) -> &'py Bound<'py, PyString> {
        self.made.get(py).expect("made at import").bind(py)
    }
}

macro_rules! names {
    ($($name:ident $text:literal;)*) => {
        $(pub(crate) static $name: Name = Name::new($text);)*

        static ALL: &[&Name] = &[$(&$name),*];
    };
}

names! {
    ABS "__abs__";
    ADD_READER "add_reader";
    ASYNCIO "asyncio";
    ASYNCIO_TASKS "asyncio.tasks";
    BIT_LENGTH "bit_length";
    CALL_SOON "call_soon";
    CALL_SOON_THREADSAFE "call_soon_threadsafe";
    CANCELLED_ERROR "CancelledError";
    CLOSED "_closed";
    CONTEXT "context";
    CURRENT_TASK "current_task";
    CURRENT_TASKS "_current_tasks";
    DOOR "_lockfree_door";
    GET "get";
    GET_RUNNING_LOOP "_get_running_loop";
    IS_CLOSED "is_closed";
    IS_RUNNING "is_running";
    LITTLE "little";
    LT "__lt__";
    MAIN_THREAD "main_thread";
    NOTIFY "_notify";
    QUALNAME "__qualname__";
    THREAD_ID "_thread_id";
    TO_BYTES "to_bytes";
    UPDATE "update";
}

/// Makes them all.
pub(crate) fn prepare(py: Python<'_>) {
    for name in ALL {
        #[allow(clippy::disallowed_methods)] // at import
        name.made.get_or_init(py, || PyString::intern(py, name.text).unbind());
    }
}
