output "addresses" {
  description = "Host to its public address: what providers send calls to."
  value       = { for host, address in aws_eip.host : host => address.public_ip }
}

output "cluster" {
  description = "The ECS cluster; its only service is called gateway."
  value       = aws_ecs_cluster.this.name
}

output "security_group_id" {
  description = "The hosts' security group, to let them in to Redis and to livekit-server."
  value       = aws_security_group.host.id
}

output "next_steps" {
  description = "What to do after the apply, in words."
  value = join("\n", concat(
    ["Let the gateway's hosts (security group ${aws_security_group.host.id}) in to livekit-server's Redis and to livekit-server."],
    ["Point the provider at:"],
    [for address in aws_eip.host : "  sip:<number>@${address.public_ip}:5060, UDP"],
    ["Make a trunk and a dispatch rule in LiveKit, once: docs/operation.md, section 4."],
  ))
}
