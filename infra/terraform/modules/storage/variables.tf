variable "bucket" {
  description = "The bucket's name; unique in all of S3."
  type        = string
}

variable "prefix" {
  description = "Where in the bucket Trunkline's objects lie. Empty: at its top."
  type        = string
  default     = ""

  validation {
    condition     = var.prefix == "" || can(regex("^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*/?$", var.prefix))
    error_message = "It must be folder names with / between them, and must not begin with /."
  }
}

variable "kms_key_arn" {
  description = "A KMS key of your own. Default: S3's own encryption (SSE-S3)."
  type        = string
  default     = null
}

variable "versioning" {
  description = "Disabled (default), Enabled, or Suspended for a bucket that has had it. Enabled brings back what was deleted, at the cost of keeping each state of each claim for noncurrent_days."
  type        = string
  default     = "Disabled"

  validation {
    condition     = contains(["Disabled", "Enabled", "Suspended"], var.versioning)
    error_message = "It must be Disabled, Enabled or Suspended."
  }
}

variable "noncurrent_days" {
  description = "How long replaced and deleted versions are kept, with versioning."
  type        = number
  default     = 7
}

variable "transition_days" {
  description = "After how many days recordings go to infrequent access; at least 30. Default: never."
  type        = number
  default     = null

  validation {
    condition     = var.transition_days == null || try(var.transition_days >= 30, false)
    error_message = "S3 allows infrequent access from 30 days on."
  }
}

variable "expire_days" {
  description = "After how many days everything of a call is deleted: recording, transcript, record and events. Default: never."
  type        = number
  default     = null

  validation {
    condition     = var.expire_days == null || try(var.expire_days >= 1, false)
    error_message = "It must be one day or more."
  }
}

variable "access_log_bucket" {
  description = "A bucket for S3's access logs. Default: none are kept."
  type        = string
  default     = null
}
