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
