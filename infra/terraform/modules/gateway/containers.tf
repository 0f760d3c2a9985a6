# The container, of one of two kinds: this repository's gateway, or LiveKit's livekit-sip in its place. Both read the host's public address
# from the file that the host wrote at its first start.

locals {
  address_file = "/run/host/advertised-address"

  environment = {
    trunkline = merge(
      {
        TRUNKLINE__LIVEKIT__URL   = var.livekit_url
        TRUNKLINE__SIP__RTP_PORTS = "${var.rtp_ports.first}-${var.rtp_ports.last}"
        # Within stopTimeout, so that calls that are cut are closed in good order.
        TRUNKLINE__WORKER__DRAIN_LIMIT = "${var.drain_seconds - 10}s"
        TRUNKLINE__LOG__FORMAT         = "json"
        TRUNKLINE__LOG__LEVEL          = var.log_level
      },
      local.keeps_records ? { TRUNKLINE__STORE = var.store.url, TRUNKLINE__SIP__RECORDS = "true" } : {},
      { for key, value in var.settings : "TRUNKLINE__${upper(replace(key, ".", "__"))}" => value },
      module.secrets.environment,
    )
    livekit-sip = {
      LIVEKIT_WS_URL = var.livekit_url
      SIP_CONFIG_BODY = yamlencode({
        redis       = { address = var.livekit_sip_redis }
        sip_port    = 5060
        rtp_port    = "${var.rtp_ports.first}-${var.rtp_ports.last}"
        health_port = 8086
        logging     = { level = var.log_level, json = true }
      })
    }
  }

  command = {
    trunkline   = "TRUNKLINE__SIP__ADVERTISED_ADDRESS=$(cat ${local.address_file}); export TRUNKLINE__SIP__ADVERTISED_ADDRESS; exec trunkline serve --only gateway"
    livekit-sip = "SIP_CONFIG_BODY=$(printf '%s\\nnat_1_to_1_ip: %s\\n' \"$SIP_CONFIG_BODY\" \"$(cat ${local.address_file})\"); export SIP_CONFIG_BODY; exec livekit-sip"
  }

  health = {
    trunkline   = ["CMD", "/usr/local/bin/health", "gateway"]
    livekit-sip = ["CMD-SHELL", "grep -qi ':13C4 ' /proc/net/udp /proc/net/udp6"] # port 5060 is bound; the image has no HTTP client
  }

  # livekit-sip cannot fetch secrets itself: ECS puts them into its environment, which is not in the state.
  injected = var.gateway == "trunkline" ? [] : [
    { name = "LIVEKIT_API_KEY", valueFrom = module.secrets.arns["livekit.api_key"] },
    { name = "LIVEKIT_API_SECRET", valueFrom = module.secrets.arns["livekit.api_secret"] },
  ]
}

resource "aws_ecs_task_definition" "gateway" {
  family                   = local.cluster
  requires_compatibilities = ["EC2"]
  network_mode             = "host"
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    cpu_architecture        = var.architecture
    operating_system_family = "LINUX"
  }

  volume {
    name      = "host"
    host_path = "/etc/trunkline-host"
  }

  container_definitions = jsonencode([{
    name                   = "gateway"
    image                  = var.image
    entryPoint             = ["/bin/sh", "-ec"]
    command                = [local.command[var.gateway]]
    essential              = true
    memoryReservation      = var.memory_mb
    readonlyRootFilesystem = true
    user                   = "10001:10001"
    # New calls are refused and calls that go on have this long.
    stopTimeout     = var.drain_seconds
    linuxParameters = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    environment     = [for name in sort(keys(local.environment[var.gateway])) : { name = name, value = local.environment[var.gateway][name] }]
    secrets         = local.injected
    mountPoints     = [{ sourceVolume = "host", containerPath = "/run/host", readOnly = true }]
    healthCheck     = { command = local.health[var.gateway], interval = 15, timeout = 5, retries = 3, startPeriod = 30 }
    ulimits         = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group
        awslogs-region        = data.aws_region.this.region
        awslogs-stream-prefix = "gateway"
        # A full pipe loses lines rather than stalls media.
        mode            = "non-blocking"
        max-buffer-size = "4m"
      }
    }
  }])

  lifecycle {
    precondition {
      condition     = var.gateway == "livekit-sip" || contains(keys(var.secrets), "redis.url") || contains(keys(var.settings), "redis.url")
      error_message = "The gateway needs livekit-server's Redis: redis.url in secrets (as a reference, if it holds a password) or in settings."
    }
    precondition {
      condition     = var.gateway == "trunkline" || var.livekit_sip_redis != null
      error_message = "livekit-sip needs livekit-server's Redis: livekit_sip_redis, as host:port."
    }
  }
}
