output "webhook_url" {
  description = "For livekit.yaml: webhook.urls."
  value       = "${aws_lambda_function_url.webhook.function_url}webhooks/livekit"
}

output "api_url" {
  description = "Where the HTTP API answers."
  value       = var.domain == null ? aws_apigatewayv2_api.this.api_endpoint : "https://${var.domain.name}"
}

output "domain_target" {
  description = "What the DNS name of `domain` must point at (CNAME, or an alias record with the zone)."
  value = var.domain == null ? null : {
    name = aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].target_domain_name
    zone = aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].hosted_zone_id
  }
}

output "function_names" {
  description = "Function to its name in AWS."
  value       = { for function, deployed in local.deployed : function => deployed.function_name }
}

output "next_steps" {
  description = "What to do after the apply, in words."
  value = join("\n", concat(
    var.code_owner == "cargo-lambda" ? concat(
      ["Ship the code, from the repository's root:"],
      ["  cargo lambda build --locked --profile function --arm64 --lambda-dir target/lambda-arm64 -p lambda"],
      [for function, name in local.names : "  cargo lambda deploy --lambda-dir target/lambda-arm64 --binary-name ${function} --include profiles --alias live ${name}"],
      ) : [
      "The code is Terraform's: `terraform apply` ships what the zips of `packages` hold.",
    ],
    [
      "Tell LiveKit of the webhook. Self-hosted, in livekit.yaml:",
      "  webhook:",
      "    api_key: <the key whose secret livekit.api_secret names>",
      "    urls: [\"${aws_lambda_function_url.webhook.function_url}webhooks/livekit\"]",
      "LiveKit Cloud: the same URL under Settings, Webhooks.",
      "Try it: curl -i -X POST -d x ${aws_lambda_function_url.webhook.function_url}webhooks/livekit must answer 401, which says that the function runs and checks signatures.",
    ],
  ))
}
