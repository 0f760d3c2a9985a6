# The four functions, by trust: webhook is public and checks LiveKit's signature itself; token and api sit behind an HTTP API; sweep is
# called by a clock. None keeps state, and each has a role of its own (iam.tf).

data "aws_partition" "this" {}
data "aws_region" "this" {}
data "aws_caller_identity" "this" {}

module "secrets" {
  source   = "../secrets"
  for_each = local.functions

  values       = merge(var.secrets, lookup(var.function_secrets, each.key, {}))
  in_file      = var.secrets_in_file
  kms_key_arns = var.secret_kms_key_arns
}

locals {
  functions = {
    webhook = { memory = 256, timeout = 10, description = "LiveKit's webhooks: signature, event, call job" }
    token   = { memory = 256, timeout = 5, description = "Tokens for browsers and apps that join a room" }
    api     = { memory = 256, timeout = 29, description = "The operators' API: calls, recordings, ingress, health" }
    sweep   = { memory = 512, timeout = 55, description = "Closes calls whose webhook was lost or whose worker died" }
  }

  environment = { for function, _ in local.functions : function => merge(
    {
      TRUNKLINE__LIVEKIT__URL = var.livekit_url
      TRUNKLINE__LOG__FORMAT  = "json"
      TRUNKLINE__LOG__LEVEL   = var.log_level
    },
    # The token function touches neither.
    function == "token" ? {} : { TRUNKLINE__QUEUE = "sqs:${var.queue.url}", TRUNKLINE__STORE = "${var.store.url}&spool=/tmp/spool" },
    { for key, value in var.settings : "TRUNKLINE__${upper(replace(key, ".", "__"))}" => value },
    module.secrets[function].environment,
  ) }

  names = { for function, _ in local.functions : function => "${var.name}-${function}" }
}
