#!/usr/bin/env python3
"""third-party.py PACKAGE TARGET - every crate linked into PACKAGE, with the text of its licence, from the sources that cargo has fetched."""
import json, pathlib, subprocess, sys

package, target = sys.argv[1:]
metadata = json.loads(subprocess.run(
    ["cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", target],
    check=True, stdout=subprocess.PIPE).stdout)
known = {p["id"]: p for p in metadata["packages"]}
edges = {n["id"]: [d["pkg"] for d in n["deps"] if any(k["kind"] is None for k in d["dep_kinds"])] for n in metadata["resolve"]["nodes"]}
todo, linked = [i for i, p in known.items() if p["name"] == package and p["source"] is None], set()
while todo:
    if (one := todo.pop()) not in linked:
        linked.add(one)
        todo += edges[one]
texts = {}
for crate in sorted((known[i] for i in linked if known[i]["source"]), key=lambda p: (p["name"], p["version"])):
    title = f"{crate['name']} {crate['version']} ({crate['license'] or 'see its text'})"
    folder = pathlib.Path(crate["manifest_path"]).parent
    files = sorted(f for f in folder.iterdir() if f.is_file() and f.name.upper().startswith(("LICEN", "COPYING", "NOTICE", "UNLICENSE")))
    if not files:
        texts.setdefault("(The crate carries no text of its own; its licence is named above.)", []).append(title)
    for file in files:
        texts.setdefault(file.read_text(encoding="utf-8", errors="replace").strip(), []).append(title)
print(f"Code of other authors in {package}, each under its own licence.")
for text, titles in texts.items():
    print("\n" + "=" * 78 + "\n" + "\n".join(titles) + "\n" + "-" * 78 + "\n" + text)
