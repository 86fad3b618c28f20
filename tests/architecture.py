#!/usr/bin/env python3
"""Checks the rules of the architecture in daemon/ and client/, and the links of the documents. ctest runs each check.

  tests/architecture.py includes    each folder includes only folders that daemon/CMakeLists.txt puts below it
  tests/architecture.py functions   no function has more than 70 lines
  tests/architecture.py links       each relative link of a document leads to a file, and to a heading in it

Prints a line for each violation, and exits with 1 if there is one.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_LINES = 70
# The folders of daemon/ that the client may include.
FOR_CLIENT = {"base", "audit", "config", "policy"}
# Folders whose documents belong to other projects, or are generated.
NOT_OURS = {"build", "node_modules", ".git"}


def sources(*folders):
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".cc", ".h") and "examples" not in path.parts:
                yield path, path.relative_to(ROOT).as_posix()


def layers():
    """Maps each folder of daemon/ to its layer: 0 for base, and so on, as daemon/CMakeLists.txt states."""
    text = (ROOT / "daemon/CMakeLists.txt").read_text()
    order = re.search(r"^# (base <- .*)$", text, re.MULTILINE).group(1)
    return {
        folder: number
        for number, layer in enumerate(order.split(" <- "))
        for folder in layer.strip("{}").split()
    }


def forbidden(source, included, layer):
    """Why the file `source` may not include the file `included`; None if it may."""
    to_tree, *to = included.split("/")
    if to_tree == "tests":
        return "the programs do not include tests"
    if source.startswith("client/"):
        if to_tree == "daemon" and to[0] not in FOR_CLIENT:
            return "the client includes only " + ", ".join(sorted(FOR_CLIENT)) + " of daemon/"
        return None
    if to_tree == "client":
        return "the daemon does not include the client"
    here = source.split("/")[1].removesuffix(".cc")
    for folder in (here, to[0]):
        if folder not in layer:
            return f"{folder} is not in the order that daemon/CMakeLists.txt states"
    if here == to[0] or layer[to[0]] < layer[here]:
        return None
    return f"{to[0]} is not below {here}"


def check_includes():
    layer = layers()
    for path, name in sources("daemon", "client"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            include = re.match(r'\s*#\s*include\s+"((?:daemon|client|tests)/.*)"', line)
            reason = include and forbidden(name, include.group(1), layer)
            if reason:
                yield f"{name}:{number}: includes {include.group(1)}: {reason}"
            if name.startswith("daemon/") and re.match(r"\s*#\s*include\s+<grpc", line):
                yield f"{name}:{number}: the daemon does not include gRPC"


def without_raw_strings(text):
    """The text with every raw string emptied but for its line breaks."""
    return re.sub(
        r'R"([^()\s\\]*)\((.*?)\)\1"', lambda raw: '""' + "\n" * raw.group(2).count("\n"), text, flags=re.DOTALL
    )


def check_functions():
    """Relies on clang-format: a function ends with a } in the column in which its first line begins."""
    for path, name in sources("daemon", "client"):
        lines = without_raw_strings(path.read_text()).splitlines()
        for last, line in enumerate(lines):
            if not re.fullmatch(r" *}", line):
                continue
            outside = re.compile(line[:-1] + r"[^\s#]")  # a line in the column of the }, but no preprocessor's
            first = last - 1
            while not outside.match(lines[first]):
                first -= 1
            length = last - first + 1
            if length > MAX_LINES and not lines[first].startswith("extern"):
                yield f"{name}:{first + 1}: has {length} lines, the maximum is {MAX_LINES}: {lines[first].strip()}"


def documents():
    """Yields the path and the text of each document. The text has its lines, with those of code left empty."""
    for path in sorted(ROOT.rglob("*.md")):
        if NOT_OURS.isdisjoint(path.relative_to(ROOT).parts):
            code = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
            yield path, code.sub(lambda block: "\n" * block.group().count("\n"), path.read_text())


def headings(text):
    """The anchors of a document's headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def check_links():
    anchors = {path: set(headings(text)) for path, text in documents()}
    for path, text in documents():
        for number, line in enumerate(text.splitlines(), 1):
            for link in re.findall(r"\]\(([^)\s]+)\)", line):
                if re.match(r"[a-z]+:", link):
                    continue
                file, _, anchor = link.partition("#")
                target = (path.parent / file).resolve() if file else path
                if not target.exists():
                    yield f"{path.relative_to(ROOT)}:{number}: {link}: there is no such file"
                elif anchor and anchor not in anchors.get(target, ()):
                    yield f"{path.relative_to(ROOT)}:{number}: {link}: there is no such heading"


if __name__ == "__main__":
    checks = {"includes": check_includes, "functions": check_functions, "links": check_links}
    found = list(checks[sys.argv[1]]())
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
