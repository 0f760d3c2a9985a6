# Three roles: host (ECS's agent on the machine), execution (image, log, what ECS injects), task (what the gateway itself does: nothing
# with AWS but reading its secrets, and putting the records of its calls into the store, of which it reads and lists nothing).

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

  # Who reads the secrets: trunkline itself, or ECS for livekit-sip.
  secrets_of_task      = var.gateway == "trunkline" ? module.secrets.statements : []
  secrets_of_execution = var.gateway == "trunkline" ? [] : module.secrets.statements

  keeps_records = var.gateway == "trunkline" && var.store != null

  # Neither a call's own record, which is its worker's, nor a recording or transcript: those lie beside the folder sip/, not in it.
  records = local.keeps_records ? [{
    Sid    = "KeepRecords"
    Effect = "Allow"
    Action = ["s3:PutObject"]
    Resource = [
      "${var.store.objects_arn}/calls/*/sip/*", # why: calls have their names at run time
      "${var.store.objects_arn}/refused/*",     # why: likewise
    ]
  }] : []

  # Writing takes a new data key and opens no old one.
  data_keys = [for statement in [{
    Sid      = "EncryptRecords"
    Effect   = "Allow"
    Action   = ["kms:GenerateDataKey"]
    Resource = var.data_kms_key_arns
  }] : statement if local.keeps_records && length(statement.Resource) > 0]

  work = concat(local.secrets_of_task, local.records, local.data_keys)
}

resource "aws_iam_role" "host" {
  name        = "${local.cluster}-host"
  description = "ECS's agent on a gateway host"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "host" {
  name = "join-cluster"
  role = aws_iam_role.host.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "FindCluster"
        Effect   = "Allow"
        Action   = ["ecs:DiscoverPollEndpoint"]
        Resource = ["*"] # why: the action knows no resources
      },
      {
        Sid      = "JoinCluster"
        Effect   = "Allow"
        Action   = ["ecs:RegisterContainerInstance", "ecs:DeregisterContainerInstance"]
        Resource = [aws_ecs_cluster.this.arn]
      },
      {
        Sid      = "RunTasks"
        Effect   = "Allow"
        Action   = ["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"]
        Resource = ["${replace(aws_ecs_cluster.this.arn, ":cluster/", ":container-instance/")}/*"] # why: hosts name themselves when they join
      },
      {
        Sid      = "TellOfTasks"
        Effect   = "Allow"
        Action   = ["ecs:SubmitAttachmentStateChanges", "ecs:SubmitContainerStateChange", "ecs:SubmitTaskStateChange"]
        Resource = [aws_ecs_cluster.this.arn]
      },
    ]
  })
}

# A shell on a host without an open port, by Systems Manager, for who may.
resource "aws_iam_role_policy_attachment" "session_manager" {
  count = var.session_manager ? 1 : 0

  role       = aws_iam_role.host.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "host" {
  name = "${local.cluster}-host"
  role = aws_iam_role.host.name
}

resource "aws_iam_role" "execution" {
  name               = "${local.cluster}-execution"
  description        = "Starts the gateway's container"
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
    }], local.pull_image, local.secrets_of_execution)
  })
}

resource "aws_iam_role" "task" {
  name               = "${local.cluster}-task"
  description        = "What the gateway does with AWS"
  assume_role_policy = local.assume_by_tasks
}

resource "aws_iam_role_policy" "task" {
  count = length(local.work) > 0 ? 1 : 0

  name   = "work"
  role   = aws_iam_role.task.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.work })
}
