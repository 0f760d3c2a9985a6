#!/usr/bin/env python3
"""Writes aws.json: what the AWS provider accepts, for the resource types that this folder's Terraform uses.

The provider itself comes only from Terraform's registry. The npm package @cdktf/provider-aws carries the same as generated code: per
resource every argument and block, whether it is required, its type, and what can be read back. `make terraform-schema` fetches that
package and calls this. Left out are resource types that no .tf file here uses, and optional blocks whose name none has.

    extract.py <folder of the unpacked package> <folder with .tf files> > aws.json

Form of an entry: {"attributes": {name: [type, "required" | "optional" | "computed"]}, "blocks": {name: {"nesting": "list" | "set" |
"single", "max": 0 | 1, "required": bool, …}}}; the type is Terraform's JSON form of it ("string", ["list", "string"]).
"""

import json
import pathlib
import re
import sys

ATTRIBUTE = re.compile(
    r"^ +(?P<name>\w+): \{\n +value: (?P<value>.*),\n +isBlock: (?P<block>true|false),\n +type: \"(?P<kind>\w+)\",\n"
    r" +storageClassType: \"(?P<storage>\w+)\",\n",
    re.M,
)
FIELD = re.compile(r"#(?P<name>\w+) \w+#\w+\}(?:\n(?!    readonly).*)*\n    readonly \w+(?P<optional>\??):")
GETTER = re.compile(r"return this\.get(?P<type>\w+)Attribute\('(?P<name>\w+)'\)")
COMPLEX = re.compile(r"new (?P<type>\w+)\(this, \"(?P<name>\w+)\"")
TYPED = re.compile(r"new cdktf\.(?P<type>\w+)\(this, \"(?P<name>\w+)\"")
SIMPLE = {"string": "string", "number": "number", "boolean": "bool"}
READ = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
    "BooleanMap": ["map", "bool"],
    "NumberMap": ["map", "number"],
}


class Resource:
    """The two generated files of one resource or data source."""

    def __init__(self, folder, words):
        self.code = (folder / "index.js").read_text()
        self.types = (folder / "index.d.ts").read_text()
        self.words = words

    def entry(self):
        body = between(self.code, "synthesizeHclAttributes() {", "\n    }\n")
        config = re.search(r"export interface (\w+Config) extends", self.types)
        own = self.code[self.code.rindex("extends cdktf.Terraform") :]
        return self.fill(body, required_of(self.types, config.group(1)), own)

    def fill(self, body, required, reader):
        """Arguments and blocks of a generated `attrs` object; what `reader`, the class that reads them back, has beyond is computed."""
        attributes, blocks = {}, {}
        for found in ATTRIBUTE.finditer(body):
            name = found["name"]
            if found["block"] == "true":
                if name in self.words or name in required:
                    blocks[name] = self.block(found, name in required)
                reader = reader.replace(f"'{name}'", "").replace(f'"{name}"', "")
            else:
                attributes[name] = [self.type_of(found), "required" if name in required else "optional"]
        attributes.update(computed(reader, attributes))
        entry = {"attributes": dict(sorted(attributes.items()))}
        if blocks:
            entry["blocks"] = dict(sorted(blocks.items()))
        return entry

    def block(self, found, required):
        struct = re.search(r"(\w+)ToHclTerraform", found["value"]).group(1)
        inner = self.struct(struct)
        nesting = "single" if found["kind"] == "struct" else found["kind"]
        many = "listMapperHcl" in found["value"]
        return {"nesting": nesting, "max": 0 if many else 1, "required": required, **inner}

    def struct(self, function):
        body = between(self.code, f"function {function}ToHclTerraform(struct) {{", "\n}\n")
        name = function[0].upper() + function[1:]
        reader = between(self.code, f"class {name}OutputReference extends", "\n}\n")
        return self.fill(body, required_of(self.types, name), reader)

    def type_of(self, found):
        """The type of an argument. Structures given as arguments become objects of what they hold."""
        kind, storage = found["kind"], found["storage"]
        if kind == "simple":
            return SIMPLE[storage]
        called = re.search(r"(\w+)ToHclTerraform", found["value"])
        if storage.startswith(("string", "number", "boolean")):
            inner = next(SIMPLE[word] for word in SIMPLE if storage.startswith(word))
        else:
            held = self.struct(called.group(1))["attributes"]
            inner = ["object", {name: type_ for name, (type_, _) in held.items()}]
        return inner if kind == "struct" else [kind, inner]


def between(text, start, end):
    begin = text.index(start)
    return text[begin : text.index(end, begin)]


def required_of(types, interface):
    """The names of an interface's members that must be given."""
    begin = re.search(rf"export interface {interface}\b.*\{{\n", types).end()
    body = types[begin : types.index("\n}\n", begin)]
    return {found["name"] for found in FIELD.finditer(body) if not found["optional"]}


def computed(reader, given):
    """What a class reads back that cannot be given."""
    found = {}
    for getter in GETTER.finditer(reader):
        found[getter["name"]] = READ.get(getter["type"], "dynamic")
    for member in TYPED.finditer(reader):
        found[member["name"]] = {"StringMap": ["map", "string"], "BooleanMap": ["map", "bool"]}.get(member["type"], "dynamic")
    for member in COMPLEX.finditer(reader):
        found.setdefault(member["name"], "dynamic")
    return {name: [type_, "computed"] for name, type_ in found.items() if name not in given}


def main():
    package, folder = map(pathlib.Path, sys.argv[1:3])
    text = "\n".join(path.read_text() for path in sorted(folder.rglob("*.tf")))
    words = set(re.findall(r'^ *(?:dynamic ")?(\w+)"? \{', text, re.M))
    described = json.loads((package / "package.json").read_text())
    result = {"package": f"{described['name']} {described['version']}", "provider": "", "resource": {}, "data": {}}
    for kind, name in sorted(set(re.findall(r'^(resource|data) "(aws_\w+)"', text, re.M))):
        short = name.removeprefix("aws_").replace("_", "-")
        resource = Resource(package / "lib" / (short if kind == "resource" else f"data-aws-{short}"), words)
        result["provider"] = re.search(r"providerVersion: '([\d.]+)'", resource.code).group(1)
        result[kind][name] = resource.entry()
    # The attributes of a block on one line: a change of the provider shows as a changed block.
    lines = json.dumps(result, indent=1)
    print(re.sub(r'"attributes": \{[^{}]*\}', lambda found: re.sub(r"\s+", " ", found[0]), lines))


if __name__ == "__main__":
    main()
