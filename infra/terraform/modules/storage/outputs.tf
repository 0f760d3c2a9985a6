output "url" {
  description = "The store's URL, for `store:`."
  value       = "s3://${aws_s3_bucket.calls.bucket}${local.prefix == "" ? "" : "/${trimsuffix(local.prefix, "/")}"}?region=${data.aws_region.this.region}"
}

output "bucket" {
  description = "The bucket's name."
  value       = aws_s3_bucket.calls.bucket
}

output "bucket_arn" {
  description = "The bucket's ARN."
  value       = aws_s3_bucket.calls.arn
}

output "objects_arn" {
  description = "The ARN below which Trunkline's objects lie, without the slash."
  value       = "${aws_s3_bucket.calls.arn}${local.prefix == "" ? "" : "/${trimsuffix(local.prefix, "/")}"}"
}

output "prefix" {
  description = "The prefix with a slash at its end, or nothing."
  value       = local.prefix
}
