// Writes dist/build.json: the hash of what dist was built from. tests/test_web.py computes the same hash in Python.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

function* files(folder) {
  for (const name of readdirSync(folder).sort()) {
    const path = `${folder}/${name}`;
    if (statSync(path).isDirectory()) yield* files(path);
    else yield path;
  }
}

const root = import.meta.dirname;
process.chdir(root);
const sources = [...files("src"), ...files("public"), "index.html", "package-lock.json", "vite.config.ts"].sort();
const hash = createHash("sha256");
for (const path of sources) {
  hash.update(path);
  hash.update("\0");
  hash.update(readFileSync(join(root, path), "utf8").replaceAll("\r\n", "\n"));
  hash.update("\0");
}
writeFileSync("dist/build.json", JSON.stringify({ sources: hash.digest("hex") }) + "\n");
