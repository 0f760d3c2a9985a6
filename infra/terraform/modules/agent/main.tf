# The worker as an ECS service on Fargate. A task takes calls as long as it has free slots, protects itself while one lasts, and is told to
# stop only when it has none (scaling.tf).

data "aws_partition" "this" {}
data "aws_region" "this" {}
data "aws_caller_identity" "this" {}

locals {
  cluster  = "${var.name}-agent"
  task_arn = "arn:${data.aws_partition.this.partition}:ecs:${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}:task/${local.cluster}"

  environment = merge(
    {
      TRUNKLINE__LIVEKIT__URL  = var.livekit_url
      TRUNKLINE__QUEUE         = "sqs:${var.queue.url}"
      TRUNKLINE__STORE         = "${var.store.url}&spool=/var/lib/trunkline/spool"
      TRUNKLINE__WORKER__SLOTS = tostring(var.slots)
      # Within stopTimeout, so that a call that is cut all the same is closed in good order.
      TRUNKLINE__WORKER__DRAIN_LIMIT = "110s"
      TRUNKLINE__LOG__FORMAT         = "json"
      TRUNKLINE__LOG__LEVEL          = var.log_level
    },
    { for key, value in var.settings : "TRUNKLINE__${upper(replace(key, ".", "__"))}" => value },
    module.secrets.environment,
  )
}

module "secrets" {
  source = "../secrets"

  values       = var.secrets
  in_file      = var.secrets_in_file
  kms_key_arns = var.secret_kms_key_arns
}

resource "aws_ecs_cluster" "this" {
  name = local.cluster

  # Its count of running tasks is what scaling divides by.
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "worker" {
  family                   = local.cluster
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory_mb
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    cpu_architecture        = var.architecture
    operating_system_family = "LINUX"
  }

  # The task's own disk, encrypted by Fargate and gone with the task: recordings wait there until they are stored.
  volume {
    name = "data"
  }

  container_definitions = jsonencode([{
    name                   = "worker"
    image                  = var.image
    command                = ["serve", "--only", "worker"]
    essential              = true
    readonlyRootFilesystem = true
    user                   = "10001:10001"
    # Protection keeps a task with calls from SIGTERM. What it cannot keep off (AWS retires the machine) has this long, the longest on Fargate.
    stopTimeout     = 120
    linuxParameters = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    environment     = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    mountPoints     = [{ sourceVolume = "data", containerPath = "/var/lib/trunkline", readOnly = false }]
    healthCheck = {
      command     = ["CMD", "/usr/local/bin/health", "worker"]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group
        awslogs-region        = data.aws_region.this.region
        awslogs-stream-prefix = "agent"
        # A full pipe loses lines rather than stalls a conversation.
        mode            = "non-blocking"
        max-buffer-size = "4m"
      }
    }
  }])
}

resource "aws_ecs_service" "worker" {
  #checkov:skip=CKV_AWS_333:Without private subnets the tasks have public addresses, and a security group without any open port.
  name             = "agent"
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.worker.arn
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  desired_count    = var.tasks.min
  propagate_tags   = "SERVICE"

  # New tasks come before old ones go. Old ones with calls are protected and stay until their last call has ended.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.worker.id]
    assign_public_ip = var.public_addresses
  }

  lifecycle {
    ignore_changes = [desired_count]
  }
}

resource "aws_security_group" "worker" {
  name        = local.cluster
  description = "Calls out only: LiveKit, AWS, the AI services"
  vpc_id      = var.vpc_id
  tags        = { Name = local.cluster }
}

# Media go by UDP to whatever address and port LiveKit names in ICE, so neither can be listed.
resource "aws_vpc_security_group_egress_rule" "worker" {
  #checkov:skip=CKV_AWS_382:LiveKit's media addresses and the AI services' are not known beforehand; nothing comes in.
  security_group_id = aws_security_group.worker.id
  description       = "Out to anywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
