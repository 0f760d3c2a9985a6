# A function's code has one owner, and Terraform cannot make `ignore_changes` depend on a variable: so there are two resources, of which one
# has instances. Both have the same arguments but for the code. Moving from one to the other is a move in the state: see docs/aws.md.

locals {
  by_cargo_lambda = var.code_owner == "cargo-lambda" ? local.functions : {}
  by_terraform    = var.code_owner == "terraform" ? local.functions : {}

  deployed = merge(aws_lambda_function.by_cargo_lambda, aws_lambda_function.by_terraform)
  aliases  = merge(aws_lambda_alias.by_cargo_lambda, aws_lambda_alias.by_terraform)
}

resource "aws_lambda_function" "by_cargo_lambda" {
  #checkov:skip=CKV_AWS_116:All callers but the clock wait for the answer and repeat; the clock calls again in a minute.
  #checkov:skip=CKV_AWS_117:The functions call LiveKit and AWS only; a VPC is for a LiveKit server that has no public address (variable vpc).
  #checkov:skip=CKV_AWS_173:The environment holds references to secrets, never secrets; kms_key_arn encrypts it with a key of your own.
  #checkov:skip=CKV_AWS_272:Code signing needs a signing profile and a pipeline that signs.
  #checkov:skip=CKV_AWS_50:Traces are OpenTelemetry's, sent by the process.
  #checkov:skip=CKV_AWS_115:Reserved concurrency is a variable: a new account has ten in all and can reserve none.
  for_each = local.by_cargo_lambda

  function_name = local.names[each.key]
  description   = each.value.description
  role          = aws_iam_role.function[each.key].arn
  architectures = ["arm64"]
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  memory_size   = lookup(var.memory_mb, each.key, each.value.memory)
  timeout       = each.value.timeout
  kms_key_arn   = var.kms_key_arn
  publish       = true

  reserved_concurrent_executions = lookup(var.reserved_concurrency, each.key, -1)

  # Fails with a word of advice until the first `cargo lambda deploy`.
  filename = "${path.module}/placeholder.zip"

  environment {
    variables = local.environment[each.key]
  }

  logging_config {
    log_format = "Text"
    log_group  = var.log_groups[each.key]
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  lifecycle {
    ignore_changes = [filename, source_code_hash, s3_bucket, s3_key, s3_object_version]
  }
}

resource "aws_lambda_function" "by_terraform" {
  #checkov:skip=CKV_AWS_116:All callers but the clock wait for the answer and repeat; the clock calls again in a minute.
  #checkov:skip=CKV_AWS_117:The functions call LiveKit and AWS only; a VPC is for a LiveKit server that has no public address (variable vpc).
  #checkov:skip=CKV_AWS_173:The environment holds references to secrets, never secrets; kms_key_arn encrypts it with a key of your own.
  #checkov:skip=CKV_AWS_272:Code signing needs a signing profile and a pipeline that signs.
  #checkov:skip=CKV_AWS_50:Traces are OpenTelemetry's, sent by the process.
  #checkov:skip=CKV_AWS_115:Reserved concurrency is a variable: a new account has ten in all and can reserve none.
  for_each = local.by_terraform

  function_name = local.names[each.key]
  description   = each.value.description
  role          = aws_iam_role.function[each.key].arn
  architectures = ["arm64"]
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  memory_size   = lookup(var.memory_mb, each.key, each.value.memory)
  timeout       = each.value.timeout
  kms_key_arn   = var.kms_key_arn
  publish       = true

  reserved_concurrent_executions = lookup(var.reserved_concurrency, each.key, -1)

  filename         = var.packages[each.key]
  source_code_hash = filebase64sha256(var.packages[each.key])

  environment {
    variables = local.environment[each.key]
  }

  logging_config {
    log_format = "Text"
    log_group  = var.log_groups[each.key]
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }
}

# Callers reach the alias `live`, so that a rollback is one call: point it at the version before.
resource "aws_lambda_alias" "by_cargo_lambda" {
  for_each = aws_lambda_function.by_cargo_lambda

  name             = "live"
  description      = "What callers reach"
  function_name    = each.value.function_name
  function_version = each.value.version

  lifecycle {
    ignore_changes = [function_version]
  }
}

resource "aws_lambda_alias" "by_terraform" {
  for_each = aws_lambda_function.by_terraform

  name             = "live"
  description      = "What callers reach"
  function_name    = each.value.function_name
  function_version = each.value.version
}
