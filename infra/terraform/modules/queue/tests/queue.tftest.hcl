mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name = "trunkline"
}

run "a_call_is_one_leased_message" {
  assert {
    condition = (
      aws_sqs_queue.jobs.name == "trunkline-call-jobs.fifo" && aws_sqs_queue.jobs.fifo_queue
      && aws_sqs_queue.jobs.deduplication_scope == "messageGroup" && aws_sqs_queue.jobs.fifo_throughput_limit == "perMessageGroupId"
      && aws_sqs_queue.jobs.visibility_timeout_seconds == 9 && aws_sqs_queue.jobs.receive_wait_time_seconds == 20
    )
    error_message = "the queue is not a high-throughput FIFO with a lease of nine seconds"
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.jobs.redrive_policy).maxReceiveCount == 3 && aws_sqs_queue.dead.fifo_queue
    error_message = "a job must be put aside after three receives"
  }
  assert {
    condition     = aws_sqs_queue.jobs.sqs_managed_sse_enabled && aws_sqs_queue.dead.sqs_managed_sse_enabled
    error_message = "messages hold phone numbers"
  }
}

run "a_key_of_ones_own_replaces_the_queues_encryption" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1"
  }
  assert {
    condition     = aws_sqs_queue.jobs.kms_master_key_id == var.kms_key_arn && aws_sqs_queue.jobs.sqs_managed_sse_enabled == null
    error_message = "AWS refuses both kinds of encryption together"
  }
}

run "no_lease_lasts_longer_than_sqs_allows" {
  command = plan
  variables {
    longest_call_seconds = 43201
  }
  expect_failures = [var.longest_call_seconds]
}
