# The dashboard's pictures, in the order in which one looks: are calls served, is there room for more, do the functions answer.

locals {
  queue      = "${var.name}-call-jobs.fifo"
  dead_queue = "${var.name}-call-jobs-dead.fifo"

  widgets = [
    {
      title = "Calls: with an agent, waiting, put aside"
      stat  = "Maximum"
      metrics = [
        ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", local.queue, { label = "with an agent" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.queue, { label = "waiting" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.dead_queue, { label = "put aside" }],
      ]
    },
    {
      title = "Agent: tasks"
      stat  = "Average"
      metrics = [
        ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", "${var.name}-agent", "ServiceName", "agent", { label = "running" }],
        ["ECS/ContainerInsights", "DesiredTaskCount", "ClusterName", "${var.name}-agent", "ServiceName", "agent", { label = "wanted" }],
      ]
    },
    {
      title = "Agent: CPU and memory, %"
      stat  = "Average"
      metrics = [
        ["AWS/ECS", "CPUUtilization", "ClusterName", "${var.name}-agent", "ServiceName", "agent"],
        ["AWS/ECS", "MemoryUtilization", "ClusterName", "${var.name}-agent", "ServiceName", "agent"],
      ]
    },
    {
      title = "Gateway: CPU and memory, %"
      stat  = "Average"
      metrics = [
        ["AWS/ECS", "CPUUtilization", "ClusterName", "${var.name}-gateway", "ServiceName", "gateway"],
        ["AWS/ECS", "MemoryUtilization", "ClusterName", "${var.name}-gateway", "ServiceName", "gateway"],
      ]
    },
    {
      title   = "Functions: requests a minute"
      stat    = "Sum"
      metrics = [for function in local.functions : ["AWS/Lambda", "Invocations", "FunctionName", "${var.name}-${function}", { label = function }]]
    },
    {
      title   = "Functions: p99, ms"
      stat    = "p99"
      metrics = [for function in local.functions : ["AWS/Lambda", "Duration", "FunctionName", "${var.name}-${function}", { label = function }]]
    },
    {
      title   = "Errors that were logged"
      stat    = "Sum"
      metrics = [for part in concat(local.functions, ["agent", "gateway"]) : ["Trunkline/${var.name}", "errors-${part}", { label = part }]]
    },
    {
      title   = "Functions: crashes and timeouts"
      stat    = "Sum"
      metrics = [for function in local.functions : ["AWS/Lambda", "Errors", "FunctionName", "${var.name}-${function}", { label = function }]]
    },
  ]
}
