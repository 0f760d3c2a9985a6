# A deployment for a business: three zones, private workers, two gateway hosts, keys of its own, a domain. docs/aws.md walks through it.

provider "aws" {
  region = var.region

  default_tags {
    tags = { application = "trunkline", deployment = var.name }
  }
}

module "observability" {
  source = "../../modules/observability"

  name           = var.name
  retention_days = 90
  kms_key_arn    = aws_kms_key.data.arn
  alarm_emails   = var.alarm_emails
  depends_on     = [aws_kms_key_policy.data]
}

module "images" {
  source = "../../modules/images"

  name = var.name
}

module "network" {
  source = "../../modules/network"

  name            = var.name
  zones           = ["a", "b", "c"]
  private_subnets = true
  nat             = "each"
  # What the worker talks to all day long; S3 has a free endpoint in any case.
  interface_endpoints = ["sqs", "ssm", "secretsmanager", "kms", "logs"]
}

module "queue" {
  source = "../../modules/queue"

  name             = var.name
  kms_key_arn      = aws_kms_key.data.arn
  alarm_topic_arns = [module.observability.alarm_topic_arn]
}

module "storage" {
  source = "../../modules/storage"

  bucket            = var.bucket
  kms_key_arn       = aws_kms_key.data.arn
  transition_days   = 30
  expire_days       = var.expire_days
  access_log_bucket = var.access_log_bucket
}

module "functions" {
  source = "../../modules/functions"

  name                = var.name
  code_owner          = var.code_owner
  packages            = var.packages
  livekit_url         = var.livekit_url
  secrets             = var.livekit_secrets
  secret_kms_key_arns = [aws_kms_key.data.arn]
  settings            = var.settings
  queue               = module.queue
  store               = module.storage
  data_kms_key_arns   = [aws_kms_key.data.arn]
  kms_key_arn         = aws_kms_key.data.arn
  log_groups          = module.observability.log_groups
  http_log_group_arn  = module.observability.log_group_arns["http-api"]
  # A flood of API requests must leave room for webhooks; two sweeps at once would only do the same work twice.
  reserved_concurrency = { api = 50, token = 50, sweep = 1 }
  throttle             = { rate = 100, burst = 200 }
  domain               = var.domain
}

module "agent" {
  source = "../../modules/agent"

  name                = var.name
  image               = "${module.images.urls["worker"]}:${var.image_tag}"
  repository_arn      = module.images.arns["worker"]
  cpu                 = 2048
  memory_mb           = 4096
  slots               = 32
  tasks               = var.tasks
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.private_subnet_ids
  public_addresses    = false
  livekit_url         = var.livekit_url
  secrets             = merge(var.livekit_secrets, var.provider_secrets)
  secret_kms_key_arns = [aws_kms_key.data.arn]
  settings            = var.settings
  queue               = module.queue
  store               = module.storage
  data_kms_key_arns   = [aws_kms_key.data.arn]
  log_group           = module.observability.log_groups["agent"]
  log_group_arn       = module.observability.log_group_arns["agent"]
  alarm_topic_arns    = [module.observability.alarm_topic_arn]
}

module "gateway" {
  source = "../../modules/gateway"

  name                = var.name
  gateway             = "trunkline"
  image               = "${module.images.urls["gateway"]}:${var.image_tag}"
  repository_arn      = module.images.arns["gateway"]
  hosts               = ["a", "b"]
  instance_type       = "c7g.large"
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.public_subnet_ids
  provider_cidrs      = var.provider_cidrs
  media_cidrs         = var.media_cidrs
  livekit_url         = var.livekit_url
  secrets             = merge(var.livekit_secrets, var.redis_secret)
  secret_kms_key_arns = [aws_kms_key.data.arn]
  settings            = var.settings
  store               = module.storage
  data_kms_key_arns   = [aws_kms_key.data.arn]
  session_manager     = true
  log_group           = module.observability.log_groups["gateway"]
  log_group_arn       = module.observability.log_group_arns["gateway"]
  alarm_topic_arns    = [module.observability.alarm_topic_arn]
}
