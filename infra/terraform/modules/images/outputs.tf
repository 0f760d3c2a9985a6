output "urls" {
  description = "Image name to the repository's URL."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "arns" {
  description = "Image name to the repository's ARN."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.arn }
}
