// Use the wheel for Pyodide in Pyodide: node tests/dist/pyodide.mjs WHEEL PACKAGING_WHEEL.
// The first is taken by its tag, for which the second is needed, the library `packaging`.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const installed = path.resolve("node_modules/pyodide/pyodide.mjs");
const { loadPyodide } = await import(pathToFileURL(installed));
const [wheel, packaging] = process.argv.slice(2);

const pyodide = await loadPyodide();
for (const each of [wheel, packaging]) {
  pyodide.unpackArchive(new Uint8Array(fs.readFileSync(each)), "wheel");
}
pyodide.globals.set("wheel", path.basename(wheel));
pyodide.globals.set("smoke", fs.readFileSync(path.join(here, "smoke.py"), "utf8"));
pyodide.runPython(`
import sys, warnings
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename
*_, tags = parse_wheel_filename(wheel)
assert tags & set(sys_tags()), tags
warnings.simplefilter("error")
try:
    import lockfree
except RuntimeWarning as warning:
    assert "LOCKFREE_IMPLEMENTATION=locked" in str(warning)
else:
    raise AssertionError("no warning")
import os
os.environ["LOCKFREE_IMPLEMENTATION"] = "locked"
sys.argv = ["smoke.py", "locked"]
exec(smoke, {"__name__": "__main__"})
`);
