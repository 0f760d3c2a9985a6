variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "repositories" {
  description = "One repository per image."
  type        = set(string)
  default     = ["worker", "gateway"]
}

variable "keep" {
  description = "How many images of each are kept."
  type        = number
  default     = 30
}
