variable "name" {
  description = "Prefix of all names."
  type        = string
  default     = "trunkline"
}

variable "region" {
  description = "The region; best the one nearest to livekit-server."
  type        = string
}

variable "bucket" {
  description = "The bucket's name; unique in all of S3."
  type        = string
}

variable "expire_days" {
  description = "After how many days calls are deleted: recordings, transcripts and records are personal data."
  type        = number
  default     = 365
}

variable "code_owner" {
  description = "cargo-lambda or terraform; see docs/aws.md."
  type        = string
  default     = "cargo-lambda"
}

variable "packages" {
  description = "With code_owner = terraform: function to zip."
  type        = map(string)
  default     = {}
}

variable "image_tag" {
  description = "The images' tag, such as the version or the commit."
  type        = string
}

variable "livekit_url" {
  description = "livekit-server or LiveKit Cloud: wss://…."
  type        = string
}

variable "livekit_secrets" {
  description = "References to LiveKit's key and secret."
  type        = map(string)
  default = {
    "livekit.api_key"    = "ssm:/trunkline/livekit/api_key"
    "livekit.api_secret" = "ssm:/trunkline/livekit/api_secret"
  }
}

variable "provider_secrets" {
  description = "References to the AI services' keys, for the worker."
  type        = map(string)
  default     = { "providers.openai.api_key" = "ssm:/trunkline/openai/api_key" }
}

variable "redis_secret" {
  description = "Reference to the URL of livekit-server's Redis, for the gateway."
  type        = map(string)
  default     = { "redis.url" = "ssm:/trunkline/redis/url" }
}

variable "settings" {
  description = "Further keys of trunkline.yaml, the same for all parts."
  type        = map(string)
  default     = {}
}

variable "provider_cidrs" {
  description = "Networks that the providers' SIP comes from."
  type        = set(string)
}

variable "media_cidrs" {
  description = "Networks that the providers' RTP comes from. Default: the same."
  type        = set(string)
  default     = []
}

variable "alarm_emails" {
  description = "Whom alarms are mailed to."
  type        = set(string)
  default     = []
}

variable "access_log_bucket" {
  description = "A bucket for S3's access logs. Default: none are kept."
  type        = string
  default     = null
}

variable "tasks" {
  description = "The least and the most worker tasks, of 32 calls each."
  type        = object({ min = number, max = number })
  default     = { min = 2, max = 10 }
}

variable "domain" {
  description = "The HTTP API's domain, with its certificate in this region. Default: the name that AWS gives."
  type        = object({ name = string, certificate_arn = string })
  default     = null
}
