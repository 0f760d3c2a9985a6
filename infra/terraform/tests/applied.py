"""Reads what `terraform test -json -verbose` says was applied. As a program: prints what it says failed."""

import json
import sys


def messages(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines if line.startswith("{")]


def resources(path):
    """(address, type, values) of every resource in every run of the file."""
    states = [message["test_state"] for message in messages(path) if message.get("type") == "test_state"]
    if not states:
        raise SystemExit(f"{path}: no state: the tests did not run")
    for state in states:
        yield from in_module(state["root_module"])


def in_module(module):
    for resource in module.get("resources", []):
        if resource["mode"] == "managed":
            yield resource["address"], resource["type"], resource["values"]
    for child in module.get("child_modules", []):
        yield from in_module(child)


def statements(path):
    """(address, type, statement) of every policy, with actions and resources as lists."""
    for address, type_, values in resources(path):
        for member in ("policy", "assume_role_policy"):
            text = values.get(member)
            if not isinstance(text, str) or '"Statement"' not in text:
                continue
            for statement in json.loads(text)["Statement"]:
                for key in ("Action", "Resource"):
                    held = statement.get(key, [])
                    statement[key] = [held] if isinstance(held, str) else held
                yield address, type_, statement


if __name__ == "__main__":
    for message in messages(sys.argv[1]):
        if message.get("type") == "diagnostic":
            diagnostic = message["diagnostic"]
            where = diagnostic.get("range", {})
            print(f"{where.get('filename', '')}:{where.get('start', {}).get('line', '')} {diagnostic['summary']}: {diagnostic.get('detail', '')}")
