mock_provider "aws" {
  source = "../../tests/mocks"
}

run "every_part_has_a_log_and_an_alarm" {
  variables {
    name = "trunkline"
  }
  assert {
    condition     = toset(keys(output.log_groups)) == toset(["agent", "api", "gateway", "http-api", "sweep", "token", "webhook"])
    error_message = jsonencode(output.log_groups)
  }
  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.logged_errors)) == toset(["agent", "api", "gateway", "sweep", "token", "webhook"])
    error_message = "each part that logs must have an alarm"
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 8
    error_message = aws_cloudwatch_dashboard.this.dashboard_body
  }
}

run "retention_is_one_that_cloudwatch_knows" {
  command = plan
  variables {
    name           = "trunkline"
    retention_days = 45
  }
  expect_failures = [var.retention_days]
}
