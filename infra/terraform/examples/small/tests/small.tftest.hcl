mock_provider "aws" {
  source = "../../tests/mocks"
}

run "applies" {
  variables {
    region         = "eu-central-1"
    bucket         = "example-calls"
    livekit_url    = "wss://livekit.example.com"
    image_tag      = "0.1.0"
    provider_cidrs = ["198.51.100.0/24"]
  }
  assert {
    condition     = strcontains(output.next_steps, output.webhook_url) && strcontains(output.next_steps, "5060")
    error_message = output.next_steps
  }
}

run "livekit_cloud_needs_no_gateway" {
  variables {
    region      = "eu-central-1"
    bucket      = "example-calls"
    livekit_url = "wss://example.livekit.cloud"
    image_tag   = "0.1.0"
    gateway     = "none"
  }
  assert {
    condition     = output.sip_addresses == {}
    error_message = "no gateway, no address"
  }
}

run "livekit_sip_stands_in" {
  variables {
    region            = "eu-central-1"
    bucket            = "example-calls"
    livekit_url       = "wss://livekit.example.com"
    image_tag         = "0.1.0"
    gateway           = "livekit-sip"
    livekit_sip_redis = "10.40.0.10:6379"
    provider_cidrs    = ["198.51.100.0/24"]
  }
  assert {
    condition     = length(output.sip_addresses) == 1
    error_message = "one host"
  }
}
