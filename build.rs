//! Hands the interpreter's version and its `Py_GIL_DISABLED` on as cfgs, and the
//! stub's docstrings as a table, which `src/python/boundary/docs.rs` includes.

fn main() {
    #[cfg(feature = "python")]
    {
        pyo3_build_config::use_pyo3_cfgs();
        stub::write_docstrings();
    }
}

#[cfg(feature = "python")]
mod stub {
    use std::fmt::Write;
    use std::path::Path;
    use std::{env, fs};

    const STUB: &str = "python/lockfree/_native.pyi";

    /// Writes rows of a class, a member (or nothing) and its docstring; the docstring of a
    /// function into a file of its own; the module's stays where it is.
    pub(super) fn write_docstrings() {
        println!("cargo::rerun-if-changed={STUB}");
        println!("cargo::rerun-if-changed=build.rs");
        let stub = fs::read_to_string(STUB).expect("the stub lies in the package");
        let write = |name: &str, text: &str| {
            let out = env::var_os("OUT_DIR").expect("cargo sets it");
            fs::write(Path::new(&out).join(name), text).expect("OUT_DIR is writable");
        };
        let mut table = String::from("&[\n");
        for (class, member, text) in docstrings(&stub) {
            if class.is_empty() {
                write(&format!("{member}.txt"), &text);
            } else {
                writeln!(table, "    ({class:?}, {member:?}, {text:?}),").expect("strings grow");
            }
        }
        table.push_str("]\n");
        write("docstrings.rs", &table);
    }

    /// The stub is formatted, so that a line tells by its indentation what it belongs to.
    fn docstrings(stub: &str) -> Vec<(String, String, String)> {
        let (mut class, mut member) = (String::new(), String::new());
        let mut found = Vec::new();
        let mut lines = stub.lines();
        while let Some(line) = lines.next() {
            let (indent, code) = (line.len() - line.trim_start().len(), line.trim_start());
            match (indent, code.split_once("def "), code.strip_prefix("class ")) {
                (0, _, Some(rest)) => (class, member) = (name(rest), String::new()),
                (0, Some(("" | "async ", rest)), _) => {
                    (class, member) = (String::new(), name(rest));
                }
                (4, Some(("" | "async ", rest)), _) => member = name(rest),
                _ => {}
            }
            if let Some(first) = code.strip_prefix("\"\"\"") {
                found.push((class.clone(), member.clone(), docstring(first, indent, &mut lines)));
            }
        }
        found
    }

    fn name(rest: &str) -> String {
        rest.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect()
    }

    /// Reads to its end the docstring that begins with `first`, and takes the indentation off.
    fn docstring<'a>(
        first: &str,
        indent: usize,
        lines: &mut impl Iterator<Item = &'a str>,
    ) -> String {
        let mut text = first.to_owned();
        while !text.trim_end().ends_with("\"\"\"") {
            let line = lines.next().expect("a docstring ends");
            text.push('\n');
            text.push_str(line.get(indent..).unwrap_or_default());
        }
        text.trim_end().trim_end_matches("\"\"\"").trim_end().to_owned()
    }
}
