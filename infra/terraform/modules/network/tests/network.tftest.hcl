mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name = "trunkline"
}

run "small_has_no_nat_and_no_private_subnet" {
  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_subnet.private) == 0 && length(aws_vpc_endpoint.interface) == 0
    error_message = "what costs by the hour must be asked for"
  }
  assert {
    condition     = [for subnet in aws_subnet.public : subnet.cidr_block] == ["10.40.0.0/20", "10.40.16.0/20"]
    error_message = jsonencode([for subnet in aws_subnet.public : subnet.cidr_block])
  }
}

run "one_nat_serves_all_zones" {
  variables {
    zones               = ["a", "b", "c"]
    private_subnets     = true
    nat                 = "one"
    interface_endpoints = ["sqs", "ssm"]
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 3 && length(distinct([for route in aws_route.nat : route.nat_gateway_id])) == 1
    error_message = "each zone must have a route to the one NAT gateway"
  }
  assert {
    condition     = aws_vpc_endpoint.interface["sqs"].service_name == "com.amazonaws.eu-central-1.sqs"
    error_message = aws_vpc_endpoint.interface["sqs"].service_name
  }
  assert {
    condition     = length(setintersection([for subnet in aws_subnet.public : subnet.cidr_block], [for subnet in aws_subnet.private : subnet.cidr_block])) == 0
    error_message = "subnets overlap"
  }
}

run "a_zone_of_its_own_for_each_nat" {
  variables {
    private_subnets = true
    nat             = "each"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 2 && length(aws_route.nat) == 2
    error_message = "one NAT gateway per zone"
  }
}

run "endpoints_alone_reach_aws" {
  variables {
    private_subnets = true
  }
  assert {
    condition     = length(aws_route.nat) == 0 && length(aws_subnet.private) == 2
    error_message = "without NAT there is no route out"
  }
}

run "nat_without_private_subnets_is_refused" {
  command = plan
  variables {
    nat = "one"
  }
  expect_failures = [var.nat]
}
