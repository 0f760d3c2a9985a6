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


def fits(resource, form):
    """Whether an ARN, which may end in *, is of the form."""
    if form == "*":
        return resource == "*"
    pattern = re.sub(r"\\\$\\\{\w+\\\}", "[^:]*", re.escape(form))
    # What a trailing * stands for may be the rest of a longer form.
    if resource.endswith("*") and form.count(":") >= resource.count(":"):
        head = ":".join(form.split(":")[: resource.count(":")])
        return re.fullmatch(re.sub(r"\\\$\\\{\w+\\\}", "[^:]*", re.escape(head)) + ":.*", resource) is not None
    return re.fullmatch(pattern, resource) is not None


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
