variable "name" {
  description = "Prefix of all names; the same as the other modules'."
  type        = string
}

variable "retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096], var.retention_days)
    error_message = "CloudWatch knows 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 and 1096 days."
  }
}

variable "kms_key_arn" {
  description = "A KMS key of your own for logs and alarms. Its policy must let CloudWatch Logs and CloudWatch alarms use it."
  type        = string
  default     = null
}

variable "alarm_emails" {
  description = "Whom alarms are mailed to. Each must confirm a mail from AWS once."
  type        = set(string)
  default     = []
}

variable "tolerated_errors" {
  description = "How many lines of level ERROR in five minutes are no alarm."
  type        = number
  default     = 0
}
