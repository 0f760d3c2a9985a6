variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "image" {
  description = "The worker's image, by an immutable tag or by digest."
  type        = string

  validation {
    condition     = !endswith(var.image, ":latest") && can(regex("(:|@sha256:)[^/]+$", var.image))
    error_message = "Name a tag other than latest, or a digest: what runs must be known, and be the same on every task."
  }
}

variable "repository_arn" {
  description = "The ECR repository that the image is pulled from. Default: a public registry, which needs no permission."
  type        = string
  default     = null
}

variable "architecture" {
  description = "ARM64 or X86_64, as the image was built."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "It must be ARM64 or X86_64."
  }
}

variable "cpu" {
  description = "CPU of a task, in 1024ths of a core."
  type        = number
  default     = 1024
}

variable "memory_mb" {
  description = "Memory of a task, in MiB; Fargate allows certain pairs with cpu only."
  type        = number
  default     = 2048
}

variable "slots" {
  description = "Calls at the same time per task (worker.slots). A call takes up to 3 % of a core and 3 MiB, and the AI services' streams come on top."
  type        = number
  default     = 16

  validation {
    condition     = var.slots >= 1 && var.slots <= 1000
    error_message = "It must be 1 to 1000."
  }
}

variable "tasks" {
  description = "The least and the most tasks. The least are there for the first calls of a rush: new ones need a minute or two."
  type        = object({ min = number, max = number })
  default     = { min = 1, max = 4 }

  validation {
    condition     = var.tasks.min >= 1 && var.tasks.max >= var.tasks.min
    error_message = "There must be one task at least, since no call waits for the first to start, and max must not be below min."
  }
}

variable "target_percent" {
  description = "How full the slots are kept, in percent."
  type        = number
  default     = 65

  validation {
    condition     = var.target_percent >= 10 && var.target_percent <= 90
    error_message = "It must be 10 to 90; 60 to 70 leaves room for what comes before new tasks do."
  }
}

variable "vpc_id" {
  description = "The VPC of the tasks."
  type        = string
}

variable "subnet_ids" {
  description = "The subnets of the tasks."
  type        = list(string)
}

variable "public_addresses" {
  description = "Whether tasks have public addresses: true in public subnets, false in private ones."
  type        = bool
}

variable "livekit_url" {
  description = "livekit-server or LiveKit Cloud: wss://…."
  type        = string
}

variable "secrets" {
  description = "Configuration key to reference, at least livekit.api_key and livekit.api_secret. See modules/secrets."
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
  description = "Further keys of trunkline.yaml, as text; lists and sections as JSON."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.settings) : !can(regex("(secret|password|api_key|token)$", key))])
    error_message = "Secrets do not belong here: they would be kept in the state. Use `secrets` with references."
  }
}

variable "queue" {
  description = "The module queue's url, arn and name."
  type        = object({ url = string, arn = string, name = string })
}

variable "store" {
  description = "The module storage's url, bucket_arn, objects_arn and prefix."
  type        = object({ url = string, bucket_arn = string, objects_arn = string, prefix = string })
}

variable "data_kms_key_arns" {
  description = "KMS keys of your own that queue and bucket are encrypted with."
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
  description = "off, error, warn, info, debug or trace."
  type        = string
  default     = "info"
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to."
  type        = list(string)
  default     = []
}
