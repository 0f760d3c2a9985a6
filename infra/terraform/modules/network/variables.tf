variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "cidr" {
  description = "The VPC's addresses; a /16 to /20."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "It must be an IPv4 network of /16 to /20, such as 10.40.0.0/16."
  }
}

variable "zones" {
  description = "The availability zones, by letter. Written down, since a zone that AWS adds must not move subnets. Add new ones at the end."
  type        = list(string)
  default     = ["a", "b"]

  validation {
    condition     = length(var.zones) >= 1 && length(var.zones) <= 8 && length(distinct(var.zones)) == length(var.zones) && alltrue([for letter in var.zones : can(regex("^[a-z]$", letter))])
    error_message = "It must be 1 to 8 different letters, such as [\"a\", \"b\"]."
  }
}

variable "private_subnets" {
  description = "Whether there are private subnets. Without them the agent's tasks have public addresses and no open port."
  type        = bool
  default     = false
}

variable "nat" {
  description = "NAT gateways for the private subnets: none, one, or each (one per zone). Without one, private tasks reach only AWS services with an endpoint and a LiveKit server in the VPC."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "one", "each"], var.nat)
    error_message = "It must be none, one or each."
  }

  validation {
    condition     = var.nat == "none" || var.private_subnets
    error_message = "NAT gateways serve private subnets: set private_subnets = true, or nat = \"none\"."
  }
}

variable "interface_endpoints" {
  description = "AWS services to reach inside the VPC, each at a price per zone and hour: sqs, ssm, secretsmanager, logs, ecr.api, ecr.dkr, kms. S3 has a free endpoint in any case."
  type        = set(string)
  default     = []
}
