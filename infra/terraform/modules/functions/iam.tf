# One role per function, with what it does and nothing else. docs/aws.md has them as a table.

locals {
  send_jobs = { Sid = "SendJobs", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [var.queue.arn] }
  see_queue = { Sid = "SeeQueues", Effect = "Allow", Action = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"], Resource = [var.queue.arn, var.queue.dead_letter_arn] }

  # The store's folders, each with its objects.
  objects = { for folder in ["calls", "index", "open", ".trunkline", "caps", "idempotency", "health"] : folder => "${var.store.objects_arn}/${folder}/*" } # why: names are made at run time
  calls   = [local.objects["calls"], local.objects["index"], local.objects["open"]]
  streams = [local.objects[".trunkline"]]
  own     = [local.objects["caps"], local.objects["health"]]

  # On the whole bucket: with a condition on prefixes S3 would answer 403, not 404, where an object is missing.
  list = { Sid = "ListObjects", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.store.bucket_arn] }

  permissions = {
    webhook = [
      local.send_jobs,
      local.list,
      { Sid = "ReadAndWriteCalls", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = local.calls },
      { Sid = "CloseCalls", Effect = "Allow", Action = ["s3:DeleteObject"], Resource = [local.objects["open"]] },
    ]
    token = []
    api = [
      local.see_queue,
      local.list,
      { Sid = "ReadAndWriteCalls", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = local.calls },
      { Sid = "KeepCaps", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], Resource = local.own },
      # They go by the bucket's lifecycle.
      { Sid = "KeepKeys", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = [local.objects["idempotency"]] },
    ]
    sweep = [
      local.send_jobs,
      local.see_queue,
      local.list,
      { Sid = "ReadAndWriteCalls", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], Resource = concat(local.calls, local.streams) },
      { Sid = "CloseCalls", Effect = "Allow", Action = ["s3:DeleteObject"], Resource = concat([local.objects["open"]], local.streams) },
    ]
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
