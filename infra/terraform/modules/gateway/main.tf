# The gateway between telephone and rooms: containers on hosts with fixed public addresses, in the host's own network.
#
# Why hosts and not Fargate: providers send calls to an address that must not change, a call's media need a thousand ports, and neither a
# load balancer nor a NAT may sit between. Why hosts by name and not a scaling group: each has an address that providers know, so a new
# host is a change at the provider's too.

data "aws_partition" "this" {}
data "aws_region" "this" {}
data "aws_caller_identity" "this" {}

data "aws_ssm_parameter" "ami" {
  name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/${var.architecture == "ARM64" ? "arm64/" : ""}recommended/image_id"
}

locals {
  cluster = "${var.name}-gateway"
  hosts   = { for index, host in var.hosts : host => var.subnet_ids[index % length(var.subnet_ids)] }
}

module "secrets" {
  source = "../secrets"

  values       = var.secrets
  in_file      = var.secrets_in_file
  kms_key_arns = var.secret_kms_key_arns
}

resource "aws_ecs_cluster" "this" {
  name = local.cluster

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_eip" "host" {
  #checkov:skip=CKV2_AWS_19:It is attached to an instance of a network of ours by an association of its own.
  for_each = local.hosts

  domain = "vpc"
  tags   = { Name = "${local.cluster}-${each.key}" }
}

resource "aws_instance" "host" {
  #checkov:skip=CKV_AWS_88:A SIP gateway must have a public address; only the providers' networks are let in.
  #checkov:skip=CKV_AWS_126:ECS's own figures say what is needed, each minute.
  for_each = local.hosts

  ami                         = data.aws_ssm_parameter.ami.insecure_value
  instance_type               = var.instance_type
  subnet_id                   = each.value
  vpc_security_group_ids      = [aws_security_group.host.id]
  iam_instance_profile        = aws_iam_instance_profile.host.name
  ebs_optimized               = true
  associate_public_ip_address = true
  disable_api_termination     = var.protect_hosts
  user_data_replace_on_change = true

  # The address is written down at the first start; the container reads it from this file.
  user_data = <<-EOT
    #!/bin/bash
    set -euo pipefail
    install -d -m 0755 /etc/trunkline-host
    echo '${aws_eip.host[each.key].public_ip}' > /etc/trunkline-host/advertised-address
    cat >> /etc/ecs/ecs.config <<'CONFIG'
    ECS_CLUSTER=${local.cluster}
    ECS_CONTAINER_STOP_TIMEOUT=${var.drain_seconds}s
    ECS_INSTANCE_ATTRIBUTES={"host":"${each.key}"}
    ECS_IMAGE_PULL_BEHAVIOR=prefer-cached
    CONFIG
    # A burst of media must not be dropped for want of a buffer.
    sysctl -w net.core.rmem_max=4194304 net.core.rmem_default=1048576
    printf 'net.core.rmem_max=4194304\nnet.core.rmem_default=1048576\n' > /etc/sysctl.d/60-trunkline.conf
  EOT

  root_block_device {
    encrypted   = true
    volume_size = 30
    volume_type = "gp3"
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  maintenance_options {
    auto_recovery = "default"
  }

  tags = { Name = "${local.cluster}-${each.key}" }

  lifecycle {
    # A newer image of the operating system is a replacement of the host: done by hand, one host at a time (docs/aws.md).
    ignore_changes = [ami]
  }
}

resource "aws_eip_association" "host" {
  for_each = local.hosts

  allocation_id = aws_eip.host[each.key].id
  instance_id   = aws_instance.host[each.key].id
}

resource "aws_ecs_service" "gateway" {
  name                = "gateway"
  cluster             = aws_ecs_cluster.this.id
  task_definition     = aws_ecs_task_definition.gateway.arn
  launch_type         = "EC2"
  scheduling_strategy = "DAEMON"
  propagate_tags      = "SERVICE"

  # Both cannot hold port 5060 of one host, so the old container goes first; with several hosts one at a time.
  deployment_minimum_healthy_percent = length(var.hosts) > 1 ? 50 : 0
  deployment_maximum_percent         = 100
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
}

resource "aws_cloudwatch_metric_alarm" "host" {
  for_each = local.hosts

  alarm_name          = "${local.cluster}-${each.key}-host"
  alarm_description   = "The gateway host ${each.key} does not pass AWS's checks: calls to its address fail."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed"
  dimensions          = { InstanceId = aws_instance.host[each.key].id }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 2
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "too_few" {
  alarm_name          = "${local.cluster}-too-few-tasks"
  alarm_description   = "A gateway container is missing on a host: calls to that host's address fail."
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  dimensions          = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.gateway.name }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 3
  threshold           = length(var.hosts)
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
