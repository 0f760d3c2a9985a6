mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name        = "trunkline"
  livekit_url = "wss://livekit.example.com"
  secrets = {
    "livekit.api_key"    = "ssm:/trunkline/livekit/api_key"
    "livekit.api_secret" = "ssm:/trunkline/livekit/api_secret"
  }
  queue = {
    url             = "https://sqs.eu-central-1.amazonaws.com/111122223333/trunkline-call-jobs.fifo"
    arn             = "arn:aws:sqs:eu-central-1:111122223333:trunkline-call-jobs.fifo"
    dead_letter_arn = "arn:aws:sqs:eu-central-1:111122223333:trunkline-call-jobs-dead.fifo"
  }
  store = {
    url         = "s3://example-calls/eu?region=eu-central-1"
    bucket_arn  = "arn:aws:s3:::example-calls"
    objects_arn = "arn:aws:s3:::example-calls/eu"
    prefix      = "eu/"
  }
  log_groups         = { webhook = "/aws/lambda/w", token = "/aws/lambda/t", api = "/aws/lambda/a", sweep = "/aws/lambda/s" }
  http_log_group_arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/trunkline/http-api"
}

run "cargo_lambda_owns_the_code" {
  assert {
    condition     = length(aws_lambda_function.by_cargo_lambda) == 4 && length(aws_lambda_function.by_terraform) == 0
    error_message = "four functions, each with one owner"
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.by_cargo_lambda : function.architectures == tolist(["arm64"]) && function.runtime == "provided.al2023"])
    error_message = "arm64 on provided.al2023"
  }
  assert {
    condition = aws_lambda_function.by_cargo_lambda["webhook"].environment[0].variables == tomap({
      TRUNKLINE__LIVEKIT__API_KEY    = "ssm:/trunkline/livekit/api_key"
      TRUNKLINE__LIVEKIT__API_SECRET = "ssm:/trunkline/livekit/api_secret"
      TRUNKLINE__LIVEKIT__URL        = "wss://livekit.example.com"
      TRUNKLINE__LOG__FORMAT         = "json"
      TRUNKLINE__LOG__LEVEL          = "info"
      TRUNKLINE__QUEUE               = "sqs:https://sqs.eu-central-1.amazonaws.com/111122223333/trunkline-call-jobs.fifo"
      TRUNKLINE__STORE               = "s3://example-calls/eu?region=eu-central-1&spool=/tmp/spool"
    })
    error_message = jsonencode(aws_lambda_function.by_cargo_lambda["webhook"].environment)
  }
  assert {
    condition     = !contains(keys(aws_lambda_function.by_cargo_lambda["token"].environment[0].variables), "TRUNKLINE__STORE")
    error_message = "the token function touches neither queue nor store"
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.function["token"].policy).Statement : statement.Sid] == ["WriteLogs", "ReadParameters"]
    error_message = aws_iam_role_policy.function["token"].policy
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.function["api"].policy, "sqs:SendMessage")
    error_message = "the operators' API must not make jobs"
  }
  assert {
    condition = !anytrue([for statement in jsondecode(aws_iam_role_policy.function["webhook"].policy).Statement :
      contains(statement.Action, "s3:DeleteObject") && statement.Resource != ["arn:aws:s3:::example-calls/eu/open/*"]
    ])
    error_message = "the webhook function deletes markers only"
  }
  assert {
    condition     = !anytrue([for statement in jsondecode(aws_iam_role_policy.function["webhook"].policy).Statement : can(statement.Condition)])
    error_message = "a condition on s3:ListBucket makes a missing object 403"
  }
  assert {
    condition     = output.webhook_url == "https://abcdefgh.lambda-url.eu-central-1.on.aws/webhooks/livekit"
    error_message = output.webhook_url
  }
  assert {
    condition     = strcontains(output.next_steps, "--binary-name webhook") && strcontains(output.next_steps, "urls: [\"https://abcdefgh.lambda-url.eu-central-1.on.aws/webhooks/livekit\"]")
    error_message = output.next_steps
  }
  assert {
    condition     = aws_lambda_function_url.webhook.qualifier == "live" && aws_cloudwatch_event_rule.sweep.schedule_expression == "rate(1 minute)"
    error_message = "callers reach the alias, the sweep runs every minute"
  }
  assert {
    condition     = length(aws_apigatewayv2_domain_name.this) == 0 && !aws_apigatewayv2_api.this.disable_execute_api_endpoint
    error_message = "without a domain the API answers at AWS's name"
  }
}

run "terraform_owns_the_code" {
  variables {
    code_owner = "terraform"
    packages   = { webhook = "placeholder.zip", token = "placeholder.zip", api = "placeholder.zip", sweep = "placeholder.zip" }
    domain     = { name = "calls.example.com", certificate_arn = "arn:aws:acm:eu-central-1:111122223333:certificate/1" }
    settings   = { "sip.default_region" = "DE" }
    vpc        = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }
  assert {
    condition     = length(aws_lambda_function.by_cargo_lambda) == 0 && length(aws_lambda_function.by_terraform) == 4 && length(output.function_names) == 4
    error_message = "four functions, each with one owner"
  }
  assert {
    condition     = aws_lambda_function.by_terraform["api"].environment[0].variables["TRUNKLINE__SIP__DEFAULT_REGION"] == "DE"
    error_message = "settings become variables"
  }
  assert {
    condition     = output.api_url == "https://calls.example.com" && aws_apigatewayv2_api.this.disable_execute_api_endpoint
    error_message = output.api_url
  }
  assert {
    condition     = strcontains(aws_iam_role_policy.function["webhook"].policy, "ec2:CreateNetworkInterface") && aws_lambda_function.by_terraform["api"].vpc_config[0].subnet_ids == toset(["subnet-1"])
    error_message = "a VPC needs its interfaces"
  }
}

run "a_missing_zip_is_refused" {
  command = plan
  variables {
    code_owner = "terraform"
    packages   = { webhook = "placeholder.zip" }
  }
  expect_failures = [var.packages]
}

run "what_would_leak_or_open_is_refused" {
  command = plan
  variables {
    livekit_url = "ws://livekit.example.com"
    settings    = { "livekit.api_secret" = "x" }
    secrets     = { "livekit.api_key" = "ssm:/a" }
  }
  expect_failures = [var.livekit_url, var.settings, var.secrets]
}
