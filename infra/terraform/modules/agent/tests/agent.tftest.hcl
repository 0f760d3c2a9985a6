mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name             = "trunkline"
  image            = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/trunkline/worker:0.1.0"
  repository_arn   = "arn:aws:ecr:eu-central-1:111122223333:repository/trunkline/worker"
  vpc_id           = "vpc-1"
  subnet_ids       = ["subnet-1"]
  public_addresses = true
  livekit_url      = "wss://livekit.example.com"
  secrets = {
    "livekit.api_key"    = "ssm:/trunkline/livekit/api_key"
    "livekit.api_secret" = "ssm:/trunkline/livekit/api_secret"
  }
  queue = {
    url  = "https://sqs.eu-central-1.amazonaws.com/111122223333/trunkline-call-jobs.fifo"
    arn  = "arn:aws:sqs:eu-central-1:111122223333:trunkline-call-jobs.fifo"
    name = "trunkline-call-jobs.fifo"
  }
  store = {
    url         = "s3://example-calls?region=eu-central-1"
    bucket_arn  = "arn:aws:s3:::example-calls"
    objects_arn = "arn:aws:s3:::example-calls"
    prefix      = ""
  }
  log_group     = "/trunkline/agent"
  log_group_arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/trunkline/agent"
  slots         = 8
}

run "a_worker_protects_its_calls_and_leaves_in_good_order" {
  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker.container_definitions)[0].stopTimeout == 120
    error_message = "Fargate allows 120 s, and calls that are cut need them"
  }
  assert {
    condition = { for pair in jsondecode(aws_ecs_task_definition.worker.container_definitions)[0].environment : pair.name => pair.value } == {
      TRUNKLINE__LIVEKIT__API_KEY    = "ssm:/trunkline/livekit/api_key"
      TRUNKLINE__LIVEKIT__API_SECRET = "ssm:/trunkline/livekit/api_secret"
      TRUNKLINE__LIVEKIT__URL        = "wss://livekit.example.com"
      TRUNKLINE__LOG__FORMAT         = "json"
      TRUNKLINE__LOG__LEVEL          = "info"
      TRUNKLINE__QUEUE               = "sqs:https://sqs.eu-central-1.amazonaws.com/111122223333/trunkline-call-jobs.fifo"
      TRUNKLINE__STORE               = "s3://example-calls?region=eu-central-1&spool=/var/lib/trunkline/spool"
      TRUNKLINE__WORKER__DRAIN_LIMIT = "110s"
      TRUNKLINE__WORKER__SLOTS       = "8"
    }
    error_message = aws_ecs_task_definition.worker.container_definitions
  }
  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement :
      contains(statement.Action, "ecs:UpdateTaskProtection") && statement.Resource == ["arn:aws:ecs:eu-central-1:111122223333:task/trunkline-agent/*"]
    ])
    error_message = aws_iam_role_policy.task.policy
  }
  assert {
    condition = !anytrue([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement :
      contains(statement.Action, "s3:DeleteObject") && anytrue([for arn in statement.Resource : strcontains(arn, "/calls/")])
    ])
    error_message = "a worker deletes nothing that is kept of calls"
  }
  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement :
      toset(statement.Action) == toset(["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:SendMessage", "sqs:GetQueueAttributes"]) && statement.Resource == [var.queue.arn]
    ])
    error_message = "a worker takes jobs of this queue, and replaces one whose attempts failed by no fault of its own"
  }
}

run "scaling_divides_calls_by_slots" {
  assert {
    condition = [
      for metric in aws_appautoscaling_policy.backlog_per_slot.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics :
      metric.expression if metric.return_data
    ] == ["100 * (waiting + leased) / (FILL(tasks, 1) * 8)"]
    error_message = "the metric must be calls per slot in percent"
  }
  assert {
    condition = (
      aws_appautoscaling_policy.backlog_per_slot.target_tracking_scaling_policy_configuration[0].scale_in_cooldown
      >= 10 * aws_appautoscaling_policy.backlog_per_slot.target_tracking_scaling_policy_configuration[0].scale_out_cooldown
    )
    error_message = "out at once, in slowly"
  }
  assert {
    condition     = aws_appautoscaling_target.worker.resource_id == "service/trunkline-agent/agent" && aws_appautoscaling_target.worker.min_capacity == 1
    error_message = aws_appautoscaling_target.worker.resource_id
  }
}

run "what_cannot_work_is_refused" {
  command = plan
  variables {
    image          = "trunkline/worker:latest"
    tasks          = { min = 0, max = 2 }
    target_percent = 100
    settings       = { "providers.openai.api_key" = "x" }
  }
  expect_failures = [var.image, var.tasks, var.target_percent, var.settings]
}
