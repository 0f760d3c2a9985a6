"""Checks policies against AWS's own list of actions, which policy_sentry (installed with checkov) carries: every action exists, and is
allowed on a kind of resource that it knows."""

import re
import sys

from applied import statements
from policy_sentry.querying.actions import get_action_data


def formats_of(action):
    """The forms of ARN that the action knows, as regular expressions; nothing if there is no such action."""
    service, _, name = action.partition(":")
    data = get_action_data(service, name)
    if not data:
        return []
    return [entry["resource_arn_format"] for entries in data.values() for entry in entries]


# What a * at the end of an ARN may stand for.
ENDINGS = ("x", "x/x", "x:x", "log-stream:x")


def fits(resource, form):
    """Whether an ARN, which may end in *, is of the form."""
    if form == "*":
        return resource == "*"
    pattern = re.sub(r"\\\$\\\{\w+\\\}", "[^:]+", re.escape(form))
    candidates = [resource[:-1] + ending for ending in ENDINGS] if resource.endswith("*") else [resource]
    return any(re.fullmatch(pattern, candidate) for candidate in candidates)


def faults(path, seen):
    for address, type_, statement in statements(path):
        for action in statement["Action"]:
            forms = formats_of(action)
            seen.add(action)
            if action.endswith(":*"):
                continue
            if not forms:
                yield f"{address}: AWS knows no action {action}"
            elif statement["Effect"] == "Allow" and type_ in ("aws_iam_role_policy", "aws_iam_policy"):
                for resource in statement["Resource"]:
                    if not any(fits(resource, form) for form in forms):
                        yield f"{address}: {action} knows no resource like {resource}, only {sorted(set(forms))}"


def main():
    seen = set()
    found = {fault for path in sys.argv[1:] for fault in faults(path, seen)}
    print("\n".join(sorted(found)))
    sys.exit(1 if found or len(seen) < 20 else 0)


if __name__ == "__main__":
    main()
