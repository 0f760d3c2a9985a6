output "log_groups" {
  description = "Part (webhook, token, api, sweep, http-api, agent, gateway) to the name of its log group."
  value       = { for part, group in aws_cloudwatch_log_group.this : part => group.name }
}

output "log_group_arns" {
  description = "Part to the ARN of its log group."
  value       = { for part, group in aws_cloudwatch_log_group.this : part => group.arn }
}

output "alarm_topic_arn" {
  description = "The SNS topic of all alarms."
  value       = aws_sns_topic.alarms.arn
}

output "dashboard_url" {
  description = "The dashboard."
  value       = "https://${data.aws_region.this.region}.console.aws.amazon.com/cloudwatch/home?region=${data.aws_region.this.region}#dashboards/dashboard/${var.name}"
}
