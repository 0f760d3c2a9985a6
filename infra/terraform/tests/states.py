"""Checks what the examples would make: policies grant no more than is written down, and no environment holds a secret."""

import json
import re
import sys

from applied import resources, statements

# Actions that know no resources: the only ones that may be allowed on everything.
ON_EVERYTHING = {"ecr:GetAuthorizationToken", "ecs:DiscoverPollEndpoint"}
SECRET = re.compile(r"(SECRET|PASSWORD|API_KEY|TOKEN|REDIS__URL)$")
REFERENCE = re.compile(r"^(ssm:/|secretsmanager:arn:)")


def policy_faults(path):
    seen = 0
    for address, type_, statement in statements(path):
        seen += 1
        if statement["Effect"] != "Allow" or type_ == "aws_kms_key_policy":
            continue
        broad = [action for action in statement["Action"] if "*" in action]
        if broad:
            yield f"{address}: allows {broad}"
        if "*" in statement["Resource"] and not set(statement["Action"]) <= ON_EVERYTHING:
            yield f"{address}: allows {sorted(set(statement['Action']) - ON_EVERYTHING)} on everything"
        if statement.get("Principal") == "*":
            yield f"{address}: allows everybody"
    if seen < 10:
        yield f"{path}: only {seen} statements were seen: the check has lost its object"


def environment_of(type_, values):
    if type_ == "aws_lambda_function":
        for environment in values["environment"]:
            yield from environment["variables"].items()
    if type_ == "aws_ecs_task_definition":
        for container in json.loads(values["container_definitions"]):
            for pair in container["environment"]:
                yield pair["name"], pair["value"]


def environment_faults(path):
    seen = 0
    for address, type_, values in resources(path):
        size = 0
        for name, value in environment_of(type_, values):
            seen += 1
            size += len(name) + len(value)
            if SECRET.search(name) and not REFERENCE.match(value):
                yield f"{address}: {name} holds a value, not a reference"
        if type_ == "aws_lambda_function" and size > 4096:
            yield f"{address}: {size} bytes of environment, and Lambda takes 4096"
    if seen < 20:
        yield f"{path}: only {seen} variables were seen: the check has lost its object"


def main():
    faults = [fault for path in sys.argv[1:] for check in (policy_faults, environment_faults) for fault in check(path)]
    print("\n".join(sorted(set(faults))))
    sys.exit(1 if faults or len(sys.argv) < 2 else 0)


if __name__ == "__main__":
    main()
