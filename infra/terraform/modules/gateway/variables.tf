variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "gateway" {
  description = "trunkline (this repository's gateway) or livekit-sip (LiveKit's)."
  type        = string
  default     = "trunkline"

  validation {
    condition     = contains(["trunkline", "livekit-sip"], var.gateway)
    error_message = "It must be trunkline or livekit-sip."
  }
}

variable "image" {
  description = "The image of the chosen gateway, by an immutable tag or by digest."
  type        = string

  validation {
    condition     = !endswith(var.image, ":latest") && can(regex("(:|@sha256:)[^/]+$", var.image))
    error_message = "Name a tag other than latest, or a digest: what runs must be known, and be the same on every host."
  }
}

variable "repository_arn" {
  description = "The ECR repository that the image is pulled from. Default: a public registry, which needs no permission."
  type        = string
  default     = null
}

variable "hosts" {
  description = "Names of the hosts, each with a fixed public address. To the end of the list new ones are added; a removed one loses its address."
  type        = list(string)
  default     = ["a"]

  validation {
    condition     = length(var.hosts) > 0 && length(distinct(var.hosts)) == length(var.hosts) && alltrue([for host in var.hosts : can(regex("^[a-z0-9-]{1,16}$", host))])
    error_message = "There must be one host at least, and each name must be its own, of 1 to 16 of a-z, 0-9 and -."
  }
}

variable "instance_type" {
  description = "The hosts' type. A call takes up to 3 % of a core and 2 MiB: two cores carry some fifty calls with room to spare."
  type        = string
  default     = "c7g.large"
}

variable "architecture" {
  description = "ARM64 or X86_64, as the type and the image are."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "It must be ARM64 or X86_64."
  }
}

variable "memory_mb" {
  description = "Memory that is kept free for the container, in MiB."
  type        = number
  default     = 512
}

variable "protect_hosts" {
  description = "Whether AWS refuses to end a host; switch it off before a host is removed or replaced."
  type        = bool
  default     = true
}

variable "session_manager" {
  description = "Whether operators may open a shell on a host by Systems Manager. No port is opened for it."
  type        = bool
  default     = false
}

variable "drain_seconds" {
  description = "How long calls may go on on a host that is told to stop."
  type        = number
  default     = 3600

  validation {
    condition     = var.drain_seconds >= 30 && var.drain_seconds <= 43200
    error_message = "It must be 30 seconds to 12 hours."
  }
}

variable "vpc_id" {
  description = "The VPC of the hosts."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets; hosts go to them in turn."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "There must be one public subnet at least."
  }
}

variable "provider_cidrs" {
  description = "Networks that the providers' SIP comes from."
  type        = set(string)

  validation {
    condition     = length(var.provider_cidrs) > 0 && alltrue([for cidr in var.provider_cidrs : can(cidrnetmask(cidr))])
    error_message = "Name the providers' IPv4 networks, such as 198.51.100.0/24."
  }

  validation {
    condition     = alltrue([for cidr in var.provider_cidrs : try(tonumber(split("/", cidr)[1]) >= 8, false)])
    error_message = "A network larger than a /8 is no provider: an open SIP port is found by scanners within the hour."
  }
}

variable "media_cidrs" {
  description = "Networks that the providers' RTP comes from. Default: the same as provider_cidrs. Many providers send media from anywhere and say so: then [\"0.0.0.0/0\"]; the gateway takes RTP only from the address that a call's SDP names."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.media_cidrs : can(cidrnetmask(cidr))])
    error_message = "Each must be an IPv4 network."
  }
}

variable "rtp_ports" {
  description = "UDP ports for media: two for each call."
  type        = object({ first = number, last = number })
  default     = { first = 20000, last = 20999 }

  validation {
    condition     = var.rtp_ports.first >= 1024 && var.rtp_ports.first < var.rtp_ports.last && var.rtp_ports.last <= 32767
    error_message = "They must be from 1024 to 32767 (above begin Linux's own), first before last."
  }
}

variable "livekit_url" {
  description = "livekit-server: wss://…. LiveKit Cloud has a SIP gateway of its own and does not share its Redis: there this module is not used."
  type        = string
}

variable "livekit_sip_redis" {
  description = "For livekit-sip: livekit-server's Redis, host:port. A Redis with a password is not supported for livekit-sip here."
  type        = string
  default     = null
}

variable "secrets" {
  description = "Configuration key to reference: livekit.api_key, livekit.api_secret and, for trunkline, redis.url. See modules/secrets."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["livekit.api_key", "livekit.api_secret"] : contains(keys(var.secrets), key)])
    error_message = "livekit.api_key and livekit.api_secret are needed, as references (ssm:/… or secretsmanager:…)."
  }
}

variable "secrets_in_file" {
  description = "References that the image's trunkline.yaml holds."
  type        = list(string)
  default     = []
}

variable "secret_kms_key_arns" {
  description = "KMS keys of your own that secrets are encrypted with."
  type        = list(string)
  default     = []
}

variable "settings" {
  description = "Further keys of trunkline.yaml, as text, such as {\"sip.default_region\" = \"DE\"}."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.settings) : !can(regex("(secret|password|api_key|token)$", key))])
    error_message = "Secrets do not belong here: they would be kept in the state. Use `secrets` with references."
  }
}

variable "store" {
  description = "The module storage's url and objects_arn, for a detail record of each call. Default: no records are kept. livekit-sip keeps none."
  type        = object({ url = string, objects_arn = string })
  default     = null
}

variable "data_kms_key_arns" {
  description = "KMS keys of your own that the bucket is encrypted with."
  type        = list(string)
  default     = []
}

variable "log_group" {
  description = "The log group's name."
  type        = string
}

variable "log_group_arn" {
  description = "The log group's ARN."
  type        = string
}

variable "log_level" {
  description = "error, warn, info or debug."
  type        = string
  default     = "info"
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to."
  type        = list(string)
  default     = []
}
