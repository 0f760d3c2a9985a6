# Two roles: execution starts the container (image, log), task is what the worker itself may do.

locals {
  assume_by_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
    }]
  })

  pull_image = [for statement in [
    {
      Sid      = "LogInToRegistry"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"] # why: the action knows no resources
    },
    {
      Sid      = "PullImage"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = var.repository_arn[*]
    },
  ] : statement if var.repository_arn != null]

  # The store's folders that a worker uses, each with its objects.
  objects = { for folder in ["calls", "index", "open", ".trunkline"] : folder => "${var.store.objects_arn}/${folder}/*" } # why: names are made at run time

  use_data_keys = [for statement in [{
    Sid      = "UseDataKeys"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = var.data_kms_key_arns
  }] : statement if length(statement.Resource) > 0]
}

resource "aws_iam_role" "execution" {
  name               = "${local.cluster}-execution"
  description        = "Starts the worker's container"
  assume_role_policy = local.assume_by_tasks
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid      = "WriteLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${var.log_group_arn}:*"] # why: the streams of this one group
    }], local.pull_image)
  })
}

resource "aws_iam_role" "task" {
  name               = "${local.cluster}-task"
  description        = "What the worker does"
  assume_role_policy = local.assume_by_tasks
}

resource "aws_iam_role_policy" "task" {
  name = "work"
  role = aws_iam_role.task.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "TakeJobs"
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:SendMessage", "sqs:GetQueueAttributes"]
        Resource = [var.queue.arn] # sends too: a job whose attempts failed by no fault of its own is replaced before SQS puts it aside
      },
      {
        Sid      = "ReadAndWriteCalls"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
        Resource = values(local.objects)
      },
      {
        Sid      = "CloseCalls"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject"]
        Resource = [local.objects["open"], local.objects[".trunkline"]]
      },
      {
        Sid      = "ListObjects"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [var.store.bucket_arn] # with a condition on prefixes S3 would answer 403, not 404, where an object is missing
      },
      {
        Sid      = "ProtectItself"
        Effect   = "Allow"
        Action   = ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
        Resource = ["${local.task_arn}/*"] # why: a task's id is not known before it runs; the cluster holds this service only
      },
    ], module.secrets.statements, local.use_data_keys)
  })
}
