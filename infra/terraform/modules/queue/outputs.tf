output "url" {
  description = "The queue's URL, for `queue: sqs:<url>`."
  value       = aws_sqs_queue.jobs.url
}

output "arn" {
  description = "The queue's ARN."
  value       = aws_sqs_queue.jobs.arn
}

output "name" {
  description = "The queue's name, for metrics."
  value       = aws_sqs_queue.jobs.name
}

output "dead_letter_arn" {
  description = "The ARN of the queue for dead letters, to count them."
  value       = aws_sqs_queue.dead.arn
}

output "dead_letter_url" {
  description = "Where jobs lie that failed three times."
  value       = aws_sqs_queue.dead.url
}
