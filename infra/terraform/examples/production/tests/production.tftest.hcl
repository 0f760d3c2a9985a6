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
