variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "kms_key_arn" {
  description = "A KMS key of your own for the messages, which hold phone numbers. Default: SQS's own encryption."
  type        = string
  default     = null
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to."
  type        = list(string)
  default     = []
}

variable "longest_call_seconds" {
  description = "The longest that a call may last. SQS itself ends every lease after 12 hours."
  type        = number
  default     = 4 * 3600

  validation {
    condition     = var.longest_call_seconds >= 600 && var.longest_call_seconds <= 43200
    error_message = "It must be from 10 minutes (600) to 12 hours (43200)."
  }
}
