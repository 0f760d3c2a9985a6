output "webhook_url" {
  description = "For livekit.yaml: webhook.urls."
  value       = module.functions.webhook_url
}

output "api_url" {
  description = "Where tokens and the operators' API are served."
  value       = module.functions.api_url
}

output "repositories" {
  description = "Where images are pushed to."
  value       = module.images.urls
}

output "sip_addresses" {
  description = "What providers send calls to."
  value       = var.gateway == "none" ? {} : module.gateway[0].addresses
}

output "dashboard_url" {
  description = "The dashboard."
  value       = module.observability.dashboard_url
}

output "next_steps" {
  description = "What to do after the apply, in words: terraform output -raw next_steps"
  value = join("\n\n", compact([
    module.functions.next_steps,
    module.agent.next_steps,
    var.gateway == "none" ? "" : module.gateway[0].next_steps,
  ]))
}

output "network" {
  description = "For a livekit-server and a Redis in the same network: where to put them, and whom to let in."
  value = {
    vpc_id                 = module.network.vpc_id
    public_subnet_ids      = module.network.public_subnet_ids
    worker_security_group  = module.agent.security_group_id
    gateway_security_group = var.gateway == "none" ? null : module.gateway[0].security_group_id
  }
}

output "dead_letter_url" {
  description = "Where call jobs lie that failed three times."
  value       = module.queue.dead_letter_url
}
