mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  bucket = "example-calls"
}

run "nothing_is_deleted_unless_told" {
  assert {
    condition = [for rule in aws_s3_bucket_lifecycle_configuration.calls.rule : rule.id] == [
      "abort-incomplete-uploads", "expire-health-probes", "expire-idempotency-keys", "expire-unfinished-streams",
    ]
    error_message = jsonencode(aws_s3_bucket_lifecycle_configuration.calls.rule)
  }
  assert {
    condition     = output.url == "s3://example-calls?region=eu-central-1" && output.prefix == "" && output.objects_arn == "arn:aws:s3:::example-calls"
    error_message = output.url
  }
  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.calls.policy).Statement : statement.Effect == "Deny"])
    error_message = "the bucket's policy must only deny"
  }
}

run "calls_and_their_index_expire_together" {
  variables {
    prefix          = "eu/"
    transition_days = 30
    expire_days     = 90
    versioning      = "Enabled"
  }
  assert {
    condition = [for rule in aws_s3_bucket_lifecycle_configuration.calls.rule : rule.id] == [
      "abort-incomplete-uploads", "expire-health-probes", "expire-idempotency-keys", "expire-unfinished-streams", "recordings-to-infrequent-access", "expire-calls", "expire-index", "expire-old-versions",
    ]
    error_message = jsonencode(aws_s3_bucket_lifecycle_configuration.calls.rule)
  }
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_lifecycle_configuration.calls.rule : startswith(rule.filter[0].prefix, "eu/") if startswith(rule.id, "expire-") && rule.id != "expire-old-versions"
    ])
    error_message = "the rules must look below the prefix"
  }
  assert {
    condition     = output.url == "s3://example-calls/eu?region=eu-central-1" && output.objects_arn == "arn:aws:s3:::example-calls/eu"
    error_message = output.url
  }
}

run "infrequent_access_begins_at_thirty_days" {
  command = plan
  variables {
    transition_days = 29
    prefix          = "/eu"
  }
  expect_failures = [var.transition_days, var.prefix]
}
