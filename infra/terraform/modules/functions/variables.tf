variable "name" {
  description = "Prefix of all names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "It must be 2 to 31 of a-z, 0-9 and -, and begin with a letter: AWS allows 64 in names, and suffixes are added."
  }
}

variable "code_owner" {
  description = "Who ships code: cargo-lambda (`cargo lambda deploy`; Terraform leaves code alone) or terraform (zips of `packages`). Do not mix them."
  type        = string
  default     = "cargo-lambda"

  validation {
    condition     = contains(["cargo-lambda", "terraform"], var.code_owner)
    error_message = "It must be cargo-lambda or terraform."
  }
}

variable "packages" {
  description = "With code_owner = terraform: function (webhook, token, api, sweep) to the zip that `cargo lambda build --output-format zip` wrote."
  type        = map(string)
  default     = {}

  validation {
    condition     = var.code_owner != "terraform" || alltrue([for function in ["webhook", "token", "api", "sweep"] : contains(keys(var.packages), function)])
    error_message = "code_owner = \"terraform\" needs a zip for each of webhook, token, api and sweep."
  }
}

variable "livekit_url" {
  description = "livekit-server or LiveKit Cloud: wss://…, or https://…."
  type        = string

  validation {
    condition     = can(regex("^(wss|https)://[^@/]+/?$", var.livekit_url))
    error_message = "It must be wss://<host> or https://<host>, without user or path."
  }
}

variable "secrets" {
  description = "For all functions: configuration key to reference, at least livekit.api_key and livekit.api_secret. See modules/secrets."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["livekit.api_key", "livekit.api_secret"] : contains(keys(var.secrets), key)])
    error_message = "livekit.api_key and livekit.api_secret are needed, as references (ssm:/… or secretsmanager:…)."
  }
}

variable "function_secrets" {
  description = "Further ones of a single function: {api = {\"…\" = \"ssm:/…\"}}."
  type        = map(map(string))
  default     = {}

  validation {
    condition     = alltrue([for function in keys(var.function_secrets) : contains(["webhook", "token", "api", "sweep"], function)])
    error_message = "The functions are webhook, token, api and sweep."
  }
}

variable "secrets_in_file" {
  description = "References that the packaged trunkline.yaml holds."
  type        = list(string)
  default     = []
}

variable "secret_kms_key_arns" {
  description = "KMS keys of your own that secrets are encrypted with."
  type        = list(string)
  default     = []
}

variable "settings" {
  description = "Further keys of trunkline.yaml, as text: {\"sip.default_region\" = \"DE\"}. Lists and sections as JSON. All variables of a function have 4 KB together: what is long belongs into the packaged trunkline.yaml."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.settings) : !can(regex("(secret|password|api_key|token)$", key))])
    error_message = "Secrets do not belong here: they would be kept in the state. Use `secrets` with references."
  }
}

variable "queue" {
  description = "The module queue's url, arn and dead_letter_arn."
  type        = object({ url = string, arn = string, dead_letter_arn = string })
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

variable "kms_key_arn" {
  description = "A KMS key of your own for the functions' environment."
  type        = string
  default     = null
}

variable "log_groups" {
  description = "Function to the name of its log group."
  type        = map(string)
}

variable "http_log_group_arn" {
  description = "The log group of the HTTP API's access log."
  type        = string
}

variable "log_level" {
  description = "off, error, warn, info, debug or trace."
  type        = string
  default     = "info"
}

variable "memory_mb" {
  description = "Function to memory, which CPU goes with, where the default (256; sweep 512) does not do."
  type        = map(number)
  default     = {}
}

variable "reserved_concurrency" {
  description = "Function to reserved concurrency. Default: none; a new account has ten in all and must leave 100 unreserved."
  type        = map(number)
  default     = {}
}

variable "routes" {
  description = "Routes of the HTTP API, by function."
  type        = map(list(string))
  default = {
    token = ["POST /v1/token", "OPTIONS /v1/token"]
    api   = ["ANY /v1/{proxy+}", "GET /health", "GET /health/live", "GET /health/ready", "GET /openapi.json"]
  }

  validation {
    condition     = alltrue([for function in keys(var.routes) : contains(["token", "api"], function)])
    error_message = "Only token and api are behind the HTTP API."
  }
}

variable "throttle" {
  description = "Requests a second that the HTTP API lets in, and how many at once."
  type        = object({ rate = number, burst = number })
  default     = { rate = 20, burst = 40 }
}

variable "domain" {
  description = "A domain of your own for the HTTP API, with its certificate in this region."
  type        = object({ name = string, certificate_arn = string })
  default     = null
}

variable "vpc" {
  description = "Subnets and security groups, for a LiveKit server without a public address. The subnets then need a way to AWS's services."
  type        = object({ subnet_ids = list(string), security_group_ids = list(string) })
  default     = null
}
