output "environment" {
  description = "TRUNKLINE__… variables that hold the references."
  value       = { for key, reference in var.values : "TRUNKLINE__${upper(replace(key, ".", "__"))}" => reference }
}

output "statements" {
  description = "IAM statements that allow to read what the references name, and nothing else."
  value       = local.statements
}

output "arns" {
  description = "Configuration key to the ARN behind its reference, for services that read secrets themselves (ECS)."
  value = {
    for key, reference in var.values : key => (
      startswith(reference, "ssm:")
      ? "${local.parameter_prefix}${trimprefix(reference, "ssm:")}"
      # ECS writes a member behind the ARN as :member::.
      : join("", [split("#", trimprefix(reference, "secretsmanager:"))[0], can(regex("#", reference)) ? ":${split("#", reference)[1]}::" : ""])
    )
  }
}
