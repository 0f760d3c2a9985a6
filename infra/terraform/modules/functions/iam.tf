# One role per function, with what it does and nothing else. docs/aws.md has them as a table.

locals {
  send_jobs = { Sid = "SendJobs", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [var.queue.arn] }
  see_queue = { Sid = "SeeQueue", Effect = "Allow", Action = ["sqs:GetQueueAttributes"], Resource = [var.queue.arn] }

  objects = [
    "${var.store.objects_arn}/calls/*", # why: a call's objects lie below its day and id
    "${var.store.objects_arn}/index/*", # why: one object per call
  ]
  read_calls  = { Sid = "ReadCalls", Effect = "Allow", Action = ["s3:GetObject"], Resource = local.objects }
  write_calls = { Sid = "WriteCalls", Effect = "Allow", Action = ["s3:PutObject"], Resource = local.objects }
  # Also makes a missing object 404 instead of 403.
  list_calls = {
    Sid       = "ListCalls"
    Effect    = "Allow"
    Action    = ["s3:ListBucket"]
    Resource  = [var.store.bucket_arn]
    Condition = { StringLike = { "s3:prefix" = ["${var.store.prefix}calls/*", "${var.store.prefix}index/*"] } } # why: lists go by day and by call
  }
  api_state = [for folder in var.api_folders : "${var.store.objects_arn}/${folder}/*"] # why: one object per caller and day
  write_api_state = {
    Sid      = "WriteApiState"
    Effect   = "Allow"
    Action   = ["s3:GetObject", "s3:PutObject"]
    Resource = local.api_state
  }

  permissions = {
    webhook = [local.send_jobs, local.read_calls, local.write_calls, local.list_calls]
    token   = []
    api     = concat([local.see_queue, local.read_calls, local.list_calls], [for statement in [local.write_api_state] : statement if length(local.api_state) > 0])
    sweep   = [local.send_jobs, local.see_queue, local.read_calls, local.write_calls, local.list_calls]
  }

  use_data_keys = [for statement in [{
    Sid      = "UseDataKeys"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = var.data_kms_key_arns
  }] : statement if length(statement.Resource) > 0]

  decrypt_environment = [for statement in [{
    Sid      = "DecryptEnvironment"
    Effect   = "Allow"
    Action   = ["kms:Decrypt"]
    Resource = var.kms_key_arn[*]
  }] : statement if var.kms_key_arn != null]

  join_vpc = [for statement in [{
    Sid      = "JoinVpc"
    Effect   = "Allow"
    Action   = ["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface"]
    Resource = ["*"] # why: Lambda names its network interfaces itself, and Describe knows no resources
  }] : statement if var.vpc != null]
}

resource "aws_iam_role" "function" {
  for_each = local.functions

  name        = local.names[each.key]
  description = each.value.description
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions

  name = each.key
  role = aws_iam_role.function[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${local.log_group_arns[each.key]}:*"] # why: the streams of this one group
      }],
      local.permissions[each.key],
      module.secrets[each.key].statements,
      each.key == "token" ? [] : local.use_data_keys,
      local.decrypt_environment,
      local.join_vpc,
    )
  })
}

locals {
  log_group_arns = { for function, group in var.log_groups : function =>
    "arn:${data.aws_partition.this.partition}:logs:${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}:log-group:${group}"
  }
}
