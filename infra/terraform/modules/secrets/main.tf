# Turns references to secrets into what a process needs: environment variables that hold the reference (never the value; the process
# fetches it at its start), and the IAM statements that let it fetch exactly those.

data "aws_partition" "this" {}
data "aws_region" "this" {}
data "aws_caller_identity" "this" {}

locals {
  references = toset(concat(values(var.values), var.in_file))

  parameter_prefix = "arn:${data.aws_partition.this.partition}:ssm:${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}:parameter"
  parameters = sort([
    for reference in local.references : "${local.parameter_prefix}${trimprefix(reference, "ssm:")}" if startswith(reference, "ssm:")
  ])
  # A reference may end in `#member`, a member of a secret that is a JSON object; the ARN does not.
  secrets = sort(distinct([
    for reference in local.references : split("#", trimprefix(reference, "secretsmanager:"))[0] if startswith(reference, "secretsmanager:")
  ]))

  statements = [for statement in [
    { Sid = "ReadParameters", Effect = "Allow", Action = ["ssm:GetParameter", "ssm:GetParameters"], Resource = local.parameters },
    { Sid = "ReadSecrets", Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = local.secrets },
    { Sid = "DecryptSecrets", Effect = "Allow", Action = ["kms:Decrypt"], Resource = var.kms_key_arns },
  ] : statement if length(statement.Resource) > 0]
}
