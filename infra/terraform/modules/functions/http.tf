# How requests come in: LiveKit's webhooks at a function URL, which hands the raw body through; everything else at an HTTP API, which throttles.

resource "aws_lambda_function_url" "webhook" {
  #checkov:skip=CKV_AWS_258:LiveKit cannot sign for AWS. It signs each webhook itself, and the function refuses what is not signed, over the raw body.
  function_name      = local.deployed["webhook"].function_name
  qualifier          = local.aliases["webhook"].name
  authorization_type = "NONE"
}

# Since October 2025 a function URL needs both permissions.
resource "aws_lambda_permission" "webhook_url" {
  #checkov:skip=CKV_AWS_301:The URL is public, and each request must be signed by LiveKit.
  statement_id           = "url"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = local.deployed["webhook"].function_name
  qualifier              = local.aliases["webhook"].name
  principal              = "*" # why: LiveKit has no AWS identity; the function checks its signature
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "webhook_invoke" {
  #checkov:skip=CKV_AWS_301:The URL is public, and each request must be signed by LiveKit; the same holds for an event by another way.
  statement_id  = "url-invoke"
  action        = "lambda:InvokeFunction"
  function_name = local.deployed["webhook"].function_name
  qualifier     = local.aliases["webhook"].name
  principal     = "*" # why: LiveKit has no AWS identity; the function checks its signature
}

resource "aws_apigatewayv2_api" "this" {
  name                         = var.name
  description                  = "Tokens for clients, and the operators' API"
  protocol_type                = "HTTP"
  disable_execute_api_endpoint = var.domain != null
}

resource "aws_apigatewayv2_integration" "this" {
  for_each = toset(["token", "api"])

  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_uri        = local.aliases[each.value].invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

locals {
  routes = merge([for function, keys in var.routes : { for key in keys : key => function }]...)
}

# A path that is not listed is answered 404 without waking a function.
resource "aws_apigatewayv2_route" "this" {
  #checkov:skip=CKV_AWS_309:API Gateway's authorizers take RSA tokens only. The functions check LiveKit's HS256 tokens and the operators' keys themselves.
  for_each = local.routes

  api_id    = aws_apigatewayv2_api.this.id
  route_key = each.key
  target    = "integrations/${aws_apigatewayv2_integration.this[each.value].id}"
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.throttle.rate
    throttling_burst_limit   = var.throttle.burst
    detailed_metrics_enabled = true
  }

  # No query string and no address: a number may stand in the one, and the other is personal data.
  access_log_settings {
    destination_arn = var.http_log_group_arn
    format = jsonencode({
      requestId = "$context.requestId"
      time      = "$context.requestTimeEpoch"
      route     = "$context.routeKey"
      status    = "$context.status"
      latencyMs = "$context.responseLatency"
      error     = "$context.integrationErrorMessage"
    })
  }
}

resource "aws_lambda_permission" "http_api" {
  for_each = aws_apigatewayv2_integration.this

  statement_id  = "http-api"
  action        = "lambda:InvokeFunction"
  function_name = local.deployed[each.key].function_name
  qualifier     = local.aliases[each.key].name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*" # why: each route of this one API
}

resource "aws_apigatewayv2_domain_name" "this" {
  count = var.domain == null ? 0 : 1

  domain_name = var.domain.name
  domain_name_configuration {
    certificate_arn = var.domain.certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "this" {
  count = var.domain == null ? 0 : 1

  api_id      = aws_apigatewayv2_api.this.id
  domain_name = aws_apigatewayv2_domain_name.this[0].id
  stage       = aws_apigatewayv2_stage.this.id
}
