# A small deployment: one worker task, one gateway host, no NAT gateway, AWS's own encryption. docs/aws.md walks through it.

provider "aws" {
  region = var.region

  default_tags {
    tags = { application = "trunkline", deployment = var.name }
  }
}

module "observability" {
  source = "../../modules/observability"

  name         = var.name
  alarm_emails = var.alarm_emails
}

module "images" {
  source = "../../modules/images"

  name = var.name
}

module "network" {
  source = "../../modules/network"

  name = var.name
}

module "queue" {
  source = "../../modules/queue"

  name             = var.name
  alarm_topic_arns = [module.observability.alarm_topic_arn]
}

module "storage" {
  source = "../../modules/storage"

  bucket      = var.bucket
  expire_days = var.expire_days
}

module "functions" {
  source = "../../modules/functions"

  name               = var.name
  code_owner         = var.code_owner
  packages           = var.packages
  livekit_url        = var.livekit_url
  secrets            = var.livekit_secrets
  settings           = var.settings
  queue              = module.queue
  store              = module.storage
  log_groups         = module.observability.log_groups
  http_log_group_arn = module.observability.log_group_arns["http-api"]
}

module "agent" {
  source = "../../modules/agent"

  name             = var.name
  image            = "${module.images.urls["worker"]}:${var.image_tag}"
  repository_arn   = module.images.arns["worker"]
  cpu              = 512
  memory_mb        = 1024
  slots            = 8
  tasks            = { min = 1, max = 2 }
  vpc_id           = module.network.vpc_id
  subnet_ids       = module.network.public_subnet_ids
  public_addresses = true
  livekit_url      = var.livekit_url
  secrets          = merge(var.livekit_secrets, var.provider_secrets)
  settings         = var.settings
  queue            = module.queue
  store            = module.storage
  log_group        = module.observability.log_groups["agent"]
  log_group_arn    = module.observability.log_group_arns["agent"]
  alarm_topic_arns = [module.observability.alarm_topic_arn]
}

# Not with LiveKit Cloud, which has a gateway of its own.
module "gateway" {
  source = "../../modules/gateway"
  count  = var.gateway == "none" ? 0 : 1

  name              = var.name
  gateway           = var.gateway
  image             = var.gateway == "trunkline" ? "${module.images.urls["gateway"]}:${var.image_tag}" : var.livekit_sip_image
  repository_arn    = var.gateway == "trunkline" ? module.images.arns["gateway"] : null
  instance_type     = "t4g.small"
  memory_mb         = 384
  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.public_subnet_ids
  provider_cidrs    = var.provider_cidrs
  media_cidrs       = var.media_cidrs
  livekit_url       = var.livekit_url
  livekit_sip_redis = var.livekit_sip_redis
  secrets           = merge(var.livekit_secrets, var.redis_secret)
  settings          = var.settings
  store             = module.storage
  log_group         = module.observability.log_groups["gateway"]
  log_group_arn     = module.observability.log_group_arns["gateway"]
  alarm_topic_arns  = [module.observability.alarm_topic_arn]
}
