"""Rules about the sources that Terraform itself does not check.

- Every variable and every local value that is declared is used.
- Every variable and output has a description.
- Every `*` in a string of a module or example stands beside its reason, a comment that begins with `why:`.
"""

import pathlib
import re
import sys

# `*` that permits nothing: patterns of regular expressions, and the words that descriptions and messages are made of.
HARMLESS = re.compile(r"regex\(|description *=|error_message *=|alarm_description *=|echo |#checkov:skip")


def faults_of(folder):
    files = {path: path.read_text() for path in sorted(folder.glob("*.tf"))}
    text = "\n".join(files.values())
    for name in re.findall(r'^variable "(\w+)"', text, re.M):
        if not re.search(rf"\bvar\.{name}\b", re.sub(rf'(?ms)^variable "{name}".*?^}}', "", text)):
            yield f"{folder}: variable {name} is declared and not used"
    for block in re.findall(r"(?ms)^locals \{\n(.*?)^\}", text):
        for name in re.findall(r"^  (\w+) *=", block, re.M):
            if not re.search(rf"\blocal\.{name}\b", text):
                yield f"{folder}: local.{name} is declared and not used"
    for kind, name, body in re.findall(r'(?ms)^(variable|output) "(\w+)" \{\n(.*?)^\}', text):
        if "description" not in body:
            yield f"{folder}: {kind} {name} has no description"
    for path, source in files.items():
        for number, line in enumerate(source.splitlines(), 1):
            if re.search(r'"[^"]*\*[^"]*"', line) and not HARMLESS.search(line) and "# why:" not in line:
                yield f"{path}:{number}: a * without its reason: add `# why: …` on the same line"


def main():
    root = pathlib.Path(sys.argv[1])
    folders = sorted({path.parent for path in root.rglob("*.tf")})
    faults = [fault for folder in folders for fault in faults_of(folder)]
    print("\n".join(faults))
    sys.exit(1 if faults or not folders else 0)


if __name__ == "__main__":
    main()
