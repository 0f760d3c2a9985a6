"""Checks that every action which a policy names exists, by the list of AWS's actions that policy_sentry (installed with checkov) carries."""

import sys

from applied import statements
from policy_sentry.querying.actions import get_actions_for_service


def main():
    unknown, seen = set(), set()
    for path in sys.argv[1:]:
        for address, _, statement in statements(path):
            for action in statement["Action"]:
                service, _, name = action.partition(":")
                seen.add(action)
                known = {known.lower() for known in get_actions_for_service(service)}
                if name != "*" and action.lower() not in known:
                    unknown.add(f"{address}: AWS knows no action {action}")
    print("\n".join(sorted(unknown)))
    sys.exit(1 if unknown or len(seen) < 20 else 0)


if __name__ == "__main__":
    main()
