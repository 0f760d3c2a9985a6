# The clock that calls the sweep.

resource "aws_cloudwatch_event_rule" "sweep" {
  name                = "${var.name}-sweep"
  description         = "Every minute, the shortest that EventBridge knows"
  schedule_expression = "rate(1 minute)"
}

resource "aws_cloudwatch_event_target" "sweep" {
  rule = aws_cloudwatch_event_rule.sweep.name
  arn  = local.aliases["sweep"].arn

  # A late sweep is of no use: the next one does its work.
  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 0
  }
}

resource "aws_lambda_permission" "sweep" {
  statement_id  = "clock"
  action        = "lambda:InvokeFunction"
  function_name = local.deployed["sweep"].function_name
  qualifier     = local.aliases["sweep"].name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.sweep.arn
}

resource "aws_lambda_function_event_invoke_config" "sweep" {
  function_name                = local.deployed["sweep"].function_name
  qualifier                    = local.aliases["sweep"].name
  maximum_event_age_in_seconds = 60
  maximum_retry_attempts       = 0
}
