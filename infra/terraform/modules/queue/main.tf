# The call jobs: one message per call, leased by the worker that serves it and renewed while the call lasts.

resource "aws_sqs_queue" "dead" {
  name                      = "${var.name}-call-jobs-dead.fifo"
  fifo_queue                = true
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
}

resource "aws_sqs_queue" "jobs" {
  name       = "${var.name}-call-jobs.fifo"
  fifo_queue = true

  # High-throughput mode: both settings together.
  deduplication_scope   = "messageGroup"
  fifo_throughput_limit = "perMessageGroupId"
  # The dedup id is <call>:<generation>: the body of a repeated webhook differs.
  content_based_deduplication = false

  # The lease of a call (worker.lease): renewed every three seconds, so that a call is taken over within ten.
  visibility_timeout_seconds = 9
  receive_wait_time_seconds  = 20
  message_retention_seconds  = 4 * 24 * 3600

  sqs_managed_sse_enabled = var.kms_key_arn == null ? true : null
  kms_master_key_id       = var.kms_key_arn

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = 3
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  queue_url = aws_sqs_queue.dead.id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.jobs.arn]
  })
}

resource "aws_sqs_queue_policy" "encrypted_transport" {
  for_each = { jobs = aws_sqs_queue.jobs, dead = aws_sqs_queue.dead }

  queue_url = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"     # why: a denial, which must hold for everybody
      Action    = "sqs:*" # why: a denial of everything
      Resource  = each.value.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-call-jobs"
  alarm_description   = "A call job failed three times and was put aside: the call had no agent. Look at the dead-letter queue and at the worker's log."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

# A job that no worker takes within seconds is a phone that rings in vain.
resource "aws_cloudwatch_metric_alarm" "waiting" {
  alarm_name          = "${var.name}-waiting-call-jobs"
  alarm_description   = "Calls ring and no worker has a free slot. Look at the agent service: is it running, and has it reached its largest size?"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.jobs.name }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 2
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

# Counts leased messages too, so it is the age of the longest call that goes on: above the longest that a call may last, a job is stuck.
resource "aws_cloudwatch_metric_alarm" "oldest" {
  alarm_name          = "${var.name}-oldest-call-job"
  alarm_description   = "A call job is older than the longest call may last. A worker renews a lease without end, or nobody takes the job."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.jobs.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = var.longest_call_seconds
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
