# How many tasks: calls ÷ slots is held at var.target_percent, by what the queue says of calls with an agent (leased messages) and of calls
# that wait. CloudWatch needs minutes, a caller waits seconds: so there is always room (the target leaves a third free, tasks.min keeps a
# warm spare), a waiting call brings tasks at once, and scale-in is slow. Tasks with calls are protected from it.

resource "aws_appautoscaling_target" "worker" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.worker.name}"
  min_capacity       = var.tasks.min
  max_capacity       = var.tasks.max
}

resource "aws_appautoscaling_policy" "backlog_per_slot" {
  name               = "${local.cluster}-backlog-per-slot"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.worker.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.target_percent
    scale_out_cooldown = 60
    scale_in_cooldown  = 900

    customized_metric_specification {
      metrics {
        id          = "used"
        expression  = "100 * (waiting + leased) / (FILL(tasks, 1) * ${var.slots})" # why: multiplications
        label       = "Calls per slot, %"
        return_data = true
      }
      metrics {
        id          = "waiting"
        return_data = false
        metric_stat {
          stat = "Maximum"
          metric {
            namespace   = "AWS/SQS"
            metric_name = "ApproximateNumberOfMessagesVisible"
            dimensions {
              name  = "QueueName"
              value = var.queue.name
            }
          }
        }
      }
      metrics {
        id          = "leased"
        return_data = false
        metric_stat {
          stat = "Maximum"
          metric {
            namespace   = "AWS/SQS"
            metric_name = "ApproximateNumberOfMessagesNotVisible"
            dimensions {
              name  = "QueueName"
              value = var.queue.name
            }
          }
        }
      }
      metrics {
        id          = "tasks"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"
            dimensions {
              name  = "ClusterName"
              value = aws_ecs_cluster.this.name
            }
            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.worker.name
            }
          }
        }
      }
    }
  }
}

resource "aws_appautoscaling_policy" "waiting" {
  name               = "${local.cluster}-waiting-calls"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.worker.resource_id

  step_scaling_policy_configuration {
    adjustment_type          = "PercentChangeInCapacity"
    cooldown                 = 60
    metric_aggregation_type  = "Maximum"
    min_adjustment_magnitude = 1
    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = 50
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "waiting" {
  alarm_name          = "${local.cluster}-waiting-calls"
  alarm_description   = "Not for people: brings more tasks when a call waits for a slot."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.queue.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.waiting.arn]
}

resource "aws_cloudwatch_metric_alarm" "too_few" {
  alarm_name          = "${local.cluster}-too-few-tasks"
  alarm_description   = "Fewer worker tasks run than are wanted at least. Look at the service's events: an image that does not start, a secret that may not be read, or no capacity."
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  dimensions          = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.worker.name }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 5
  threshold           = var.tasks.min
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "at_the_limit" {
  alarm_name          = "${local.cluster}-at-the-limit"
  alarm_description   = "As many worker tasks run as are allowed: the next calls may wait. Raise tasks.max."
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  dimensions          = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.worker.name }
  statistic           = "Minimum"
  period              = 300
  evaluation_periods  = 2
  threshold           = var.tasks.max
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  # Where the service does not scale, its one size is no news.
  actions_enabled = var.tasks.max > var.tasks.min
  alarm_actions   = var.alarm_topic_arns
}
