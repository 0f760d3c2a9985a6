variable "values" {
  description = "Configuration key to reference, such as {\"livekit.api_secret\" = \"ssm:/trunkline/livekit/api_secret\"}. References are ssm:/<parameter name> or secretsmanager:<ARN>[#<member>]."
  type        = map(string)

  validation {
    condition = alltrue([
      for reference in values(var.values) : can(regex("^(ssm:/[A-Za-z0-9_./-]+|secretsmanager:arn:[^*]+)$", reference))
    ])
    error_message = "Each value must be a reference: ssm:/<parameter name>, or secretsmanager:<ARN of the secret>, perhaps with #<member>. Never put a secret itself here: it would be kept in the state."
  }

  validation {
    condition     = alltrue([for key in keys(var.values) : can(regex("^[a-z0-9_]+([.][a-z0-9_]+)*$", key))])
    error_message = "Each key must be a key of trunkline.yaml with dots between its sections, such as livekit.api_secret."
  }
}

variable "in_file" {
  description = "Further references that the packaged trunkline.yaml holds: the process must be allowed to read them too."
  type        = list(string)
  default     = []

  validation {
    condition = alltrue([
      for reference in var.in_file : can(regex("^(ssm:/[A-Za-z0-9_./-]+|secretsmanager:arn:[^*]+)$", reference))
    ])
    error_message = "Each must be a reference: ssm:/<parameter name>, or secretsmanager:<ARN of the secret>."
  }
}

variable "kms_key_arns" {
  description = "KMS keys of your own that the parameters and secrets are encrypted with. None are needed for aws/ssm and aws/secretsmanager."
  type        = list(string)
  default     = []
}
