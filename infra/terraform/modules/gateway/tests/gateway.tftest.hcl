mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name           = "trunkline"
  image          = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/trunkline/gateway:0.1.0"
  repository_arn = "arn:aws:ecr:eu-central-1:111122223333:repository/trunkline/gateway"
  vpc_id         = "vpc-1"
  subnet_ids     = ["subnet-1", "subnet-2"]
  provider_cidrs = ["198.51.100.0/24"]
  livekit_url    = "wss://livekit.example.com"
  secrets = {
    "livekit.api_key"    = "ssm:/trunkline/livekit/api_key"
    "livekit.api_secret" = "ssm:/trunkline/livekit/api_secret"
    "redis.url"          = "ssm:/trunkline/redis/url"
  }
  log_group     = "/trunkline/gateway"
  log_group_arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/trunkline/gateway"
}

run "only_providers_reach_a_host" {
  variables {
    hosts = ["a", "b", "c"]
  }
  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.sip : "${rule.ip_protocol} ${rule.from_port} ${rule.cidr_ipv4}"] == ["udp 5060 198.51.100.0/24"]
    error_message = "SIP from the providers only"
  }
  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.rtp : "${rule.from_port}-${rule.to_port} ${rule.cidr_ipv4}"] == ["20000-20999 198.51.100.0/24"]
    error_message = "RTP from the providers only"
  }
  assert {
    condition     = [for host in aws_instance.host : host.subnet_id] == ["subnet-1", "subnet-2", "subnet-1"] && length(output.addresses) == 3
    error_message = "hosts go to the zones in turn, each with an address"
  }
  assert {
    condition     = alltrue([for host in aws_instance.host : strcontains(host.user_data, "echo '203.0.113.7' > /etc/trunkline-host/advertised-address")])
    error_message = "each host must know its public address"
  }
  assert {
    condition     = aws_ecs_service.gateway.scheduling_strategy == "DAEMON" && aws_ecs_service.gateway.deployment_minimum_healthy_percent == 50
    error_message = "one container per host, and never all away at once"
  }
}

run "trunkline_reads_its_secrets_itself" {
  assert {
    condition     = jsondecode(aws_ecs_task_definition.gateway.container_definitions)[0].secrets == []
    error_message = aws_ecs_task_definition.gateway.container_definitions
  }
  assert {
    condition     = strcontains(aws_iam_role_policy.task[0].policy, "parameter/trunkline/redis/url") && !strcontains(aws_iam_role_policy.execution.policy, "ssm:GetParameter")
    error_message = "the task role reads, the execution role does not"
  }
  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.gateway.container_definitions)[0].command
      == ["TRUNKLINE__SIP__ADVERTISED_ADDRESS=$(cat /run/host/advertised-address); export TRUNKLINE__SIP__ADVERTISED_ADDRESS; exec trunkline serve --only gateway"]
    )
    error_message = aws_ecs_task_definition.gateway.container_definitions
  }
  assert {
    condition     = contains([for pair in jsondecode(aws_ecs_task_definition.gateway.container_definitions)[0].environment : "${pair.name}=${pair.value}"], "TRUNKLINE__WORKER__DRAIN_LIMIT=3590s")
    error_message = "calls must be closed before the container is killed"
  }
}

run "livekit_sip_gets_them_from_ecs" {
  variables {
    gateway           = "livekit-sip"
    image             = "livekit/sip:v1.11.0"
    repository_arn    = null
    livekit_sip_redis = "10.40.0.10:6379"
  }
  assert {
    condition = jsondecode(aws_ecs_task_definition.gateway.container_definitions)[0].secrets == [
      { name = "LIVEKIT_API_KEY", valueFrom = "arn:aws:ssm:eu-central-1:111122223333:parameter/trunkline/livekit/api_key" },
      { name = "LIVEKIT_API_SECRET", valueFrom = "arn:aws:ssm:eu-central-1:111122223333:parameter/trunkline/livekit/api_secret" },
    ]
    error_message = aws_ecs_task_definition.gateway.container_definitions
  }
  assert {
    condition     = length(aws_iam_role_policy.task) == 0 && strcontains(aws_iam_role_policy.execution.policy, "ssm:GetParameters") && !strcontains(aws_iam_role_policy.execution.policy, "ecr:")
    error_message = "the execution role reads, the task role does nothing"
  }
  assert {
    condition = yamldecode([for pair in jsondecode(aws_ecs_task_definition.gateway.container_definitions)[0].environment : pair.value if pair.name == "SIP_CONFIG_BODY"][0]) == {
      redis       = { address = "10.40.0.10:6379" }
      sip_port    = 5060
      rtp_port    = "20000-20999"
      health_port = 8086
      logging     = { level = "info", json = true }
    }
    error_message = aws_ecs_task_definition.gateway.container_definitions
  }
}

run "without_a_store_nothing_is_kept" {
  assert {
    condition     = !strcontains(aws_iam_role_policy.task[0].policy, "s3:") && !strcontains(aws_ecs_task_definition.gateway.container_definitions, "TRUNKLINE__STORE")
    error_message = aws_iam_role_policy.task[0].policy
  }
}

run "with_one_it_puts_records_and_nothing_else" {
  variables {
    store             = { url = "s3://example-calls/x?region=eu-central-1", objects_arn = "arn:aws:s3:::example-calls/x" }
    data_kms_key_arns = ["arn:aws:kms:eu-central-1:111122223333:key/1"]
  }
  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.task[0].policy).Statement : [statement.Action, statement.Resource]
      if contains(["KeepRecords", "EncryptRecords"], statement.Sid)
      ] == [
      [["s3:PutObject"], ["arn:aws:s3:::example-calls/x/calls/*/sip/*", "arn:aws:s3:::example-calls/x/refused/*"]], # why: what is expected
      [["kms:GenerateDataKey"], ["arn:aws:kms:eu-central-1:111122223333:key/1"]],
    ]
    error_message = aws_iam_role_policy.task[0].policy
  }
  assert {
    condition = alltrue([
      for pair in ["TRUNKLINE__STORE=s3://example-calls/x?region=eu-central-1", "TRUNKLINE__SIP__RECORDS=true"] :
      contains([for pair in jsondecode(aws_ecs_task_definition.gateway.container_definitions)[0].environment : "${pair.name}=${pair.value}"], pair)
    ])
    error_message = aws_ecs_task_definition.gateway.container_definitions
  }
}

run "livekit_sip_keeps_no_records" {
  variables {
    gateway           = "livekit-sip"
    image             = "livekit/sip:v1.11.0"
    livekit_sip_redis = "10.40.0.10:6379"
    store             = { url = "s3://example-calls?region=eu-central-1", objects_arn = "arn:aws:s3:::example-calls" }
  }
  assert {
    condition     = length(aws_iam_role_policy.task) == 0
    error_message = "it has no rights that it does not use"
  }
}

run "no_redis_is_refused" {
  command = plan
  variables {
    secrets = { "livekit.api_key" = "ssm:/a", "livekit.api_secret" = "ssm:/b" }
  }
  expect_failures = [aws_ecs_task_definition.gateway]
}

run "an_open_port_is_refused" {
  command = plan
  variables {
    provider_cidrs = ["0.0.0.0/0"]
    hosts          = ["a", "a"]
    rtp_ports      = { first = 20000, last = 60000 }
  }
  expect_failures = [var.provider_cidrs, var.hosts, var.rtp_ports]
}
