# Where logs lie, where alarms go, and one page that shows the system. It knows the other modules' names only, so that it can come first.

data "aws_region" "this" {}

locals {
  functions = ["webhook", "token", "api", "sweep"]
  # API Gateway delivers to groups below /aws/vendedlogs/ without a line per group in CloudWatch's one policy, whose size is limited.
  log_groups = merge(
    { for function in local.functions : function => "/aws/lambda/${var.name}-${function}" },
    { http-api = "/aws/vendedlogs/${var.name}/http-api", agent = "/${var.name}/agent", gateway = "/${var.name}/gateway" },
  )
  alarm_actions = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts by itself; set kms_key_arn for a key of your own. Numbers and words are masked in logs.
  #checkov:skip=CKV_AWS_338:Logs are for faults, not for the record: records lie in the bucket. The variable may be raised.
  for_each = local.log_groups

  name              = each.value
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:CloudWatch cannot publish to a topic encrypted with aws/sns; set kms_key_arn for a key whose policy lets it. Alarms hold no personal data.
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

# Errors that a process handled and logged, of whatever part.
resource "aws_cloudwatch_log_metric_filter" "errors" {
  for_each = { for part, group in aws_cloudwatch_log_group.this : part => group if part != "http-api" }

  name           = "${var.name}-${each.key}-errors"
  log_group_name = each.value.name
  pattern        = "{ $.level = \"ERROR\" }"
  metric_transformation {
    namespace     = "Trunkline/${var.name}"
    name          = "errors-${each.key}"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "logged_errors" {
  for_each = aws_cloudwatch_log_metric_filter.errors

  alarm_name          = "${var.name}-${each.key}-errors"
  alarm_description   = "${each.key} logged errors. Look at the log group ${local.log_groups[each.key]}, level ERROR."
  namespace           = "Trunkline/${var.name}"
  metric_name         = "errors-${each.key}"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = var.tolerated_errors
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

# Crashes and timeouts, which no process can log.
resource "aws_cloudwatch_metric_alarm" "function_failures" {
  for_each = toset(local.functions)

  alarm_name          = "${var.name}-${each.value}-failures"
  alarm_description   = "The function ${each.value} crashed or ran out of time."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = "${var.name}-${each.value}" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 2
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "webhook_throttled" {
  alarm_name          = "${var.name}-webhook-throttled"
  alarm_description   = "AWS refused webhooks: the account's concurrency is used up. LiveKit repeats each four times; raise the limit."
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  dimensions          = { FunctionName = "${var.name}-webhook" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

# livekit-server waits for each webhook before it sends the room's next.
resource "aws_cloudwatch_metric_alarm" "webhook_slow" {
  alarm_name          = "${var.name}-webhook-slow"
  alarm_description   = "One webhook in a hundred takes more than a second: phones ring longer, and LiveKit drops events that wait for 30 s."
  namespace           = "AWS/Lambda"
  metric_name         = "Duration"
  dimensions          = { FunctionName = "${var.name}-webhook" }
  extended_statistic  = "p99"
  period              = 300
  evaluation_periods  = 3
  threshold           = 1000
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "sweep_silent" {
  alarm_name          = "${var.name}-sweep-silent"
  alarm_description   = "The sweep has not run for ten minutes: calls whose webhook was lost stay open."
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  dimensions          = { FunctionName = "${var.name}-sweep" }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = [for index, widget in local.widgets : merge(
    { type = "metric", width = 12, height = 6, x = (index % 2) * 12, y = floor(index / 2) * 6 },
    { properties = merge({ region = data.aws_region.this.region, period = 60, view = "timeSeries" }, widget) },
  )] })
}
