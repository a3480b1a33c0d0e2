//! Hands the interpreter's version and its `Py_GIL_DISABLED` on as cfgs.

fn main() {
    #[cfg(feature = "python")]
    pyo3_build_config::use_pyo3_cfgs();
}
