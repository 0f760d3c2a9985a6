output "cluster" {
  description = "The ECS cluster; its only service is called agent."
  value       = aws_ecs_cluster.this.name
}

output "security_group_id" {
  description = "The tasks' security group, to let them in to a LiveKit server of the VPC."
  value       = aws_security_group.worker.id
}

output "next_steps" {
  description = "What to do after the apply, in words."
  value = join("\n", [
    "Watch the workers start: aws ecs wait services-stable --cluster ${aws_ecs_cluster.this.name} --services agent",
    "Their log: aws logs tail ${var.log_group} --follow",
  ])
}
