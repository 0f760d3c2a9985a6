mock_provider "aws" {
  source = "../../tests/mocks"
}

run "references_become_variables_and_permissions" {
  variables {
    values = {
      "livekit.api_secret"       = "ssm:/trunkline/livekit/api_secret"
      "providers.openai.api_key" = "secretsmanager:arn:aws:secretsmanager:eu-central-1:111122223333:secret:ai-AbCdEf#openai"
    }
    kms_key_arns = ["arn:aws:kms:eu-central-1:111122223333:key/1"]
  }

  assert {
    condition = output.environment == {
      TRUNKLINE__LIVEKIT__API_SECRET        = "ssm:/trunkline/livekit/api_secret"
      TRUNKLINE__PROVIDERS__OPENAI__API_KEY = "secretsmanager:arn:aws:secretsmanager:eu-central-1:111122223333:secret:ai-AbCdEf#openai"
    }
    error_message = jsonencode(output.environment)
  }
  assert {
    condition = jsonencode([for statement in output.statements : statement.Resource]) == jsonencode([
      ["arn:aws:ssm:eu-central-1:111122223333:parameter/trunkline/livekit/api_secret"],
      ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:ai-AbCdEf"],
      ["arn:aws:kms:eu-central-1:111122223333:key/1"],
    ])
    error_message = jsonencode(output.statements)
  }
  assert {
    condition     = output.arns["providers.openai.api_key"] == "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ai-AbCdEf:openai::"
    error_message = jsonencode(output.arns)
  }
}

run "what_is_not_used_is_not_permitted" {
  variables {
    values = { "livekit.api_secret" = "ssm:/a" }
  }
  assert {
    condition     = [for statement in output.statements : statement.Sid] == ["ReadParameters"]
    error_message = jsonencode(output.statements)
  }
}

run "a_secret_itself_is_refused" {
  command = plan
  variables {
    values = { "livekit.api_secret" = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4" }
  }
  expect_failures = [var.values]
}

run "a_reference_to_everything_is_refused" {
  command = plan
  variables {
    values  = { "livekit.api_secret" = "ssm:/trunkline/*" }
    in_file = ["secretsmanager:arn:aws:secretsmanager:eu-central-1:111122223333:secret:*"]
  }
  expect_failures = [var.values, var.in_file]
}
