# One bucket: events, claims, recordings, transcripts and records of calls.

resource "aws_s3_bucket" "calls" {
  #checkov:skip=CKV_AWS_144:Recordings are personal data: a copy in another region is a decision of its own, not a default.
  #checkov:skip=CKV2_AWS_62:Nothing listens to the bucket; webhooks and the sweep close calls.
  #checkov:skip=CKV_AWS_18:Access logs need a second bucket; set access_log_bucket to have them.
  #checkov:skip=CKV_AWS_145:SSE-S3 is on; set kms_key_arn for a key of your own.
  #checkov:skip=CKV_AWS_21:A claim is rewritten every few seconds of a call, and versions would keep each of them; see the variable versioning.
  bucket        = var.bucket
  force_destroy = false
}

resource "aws_s3_bucket_ownership_controls" "calls" {
  bucket = aws_s3_bucket.calls.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "calls" {
  bucket                  = aws_s3_bucket.calls.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "calls" {
  bucket = aws_s3_bucket.calls.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
    bucket_key_enabled = var.kms_key_arn != null
  }
}

resource "aws_s3_bucket_versioning" "calls" {
  count  = var.versioning == "Disabled" ? 0 : 1
  bucket = aws_s3_bucket.calls.id
  versioning_configuration {
    status = var.versioning
  }
}

resource "aws_s3_bucket_logging" "calls" {
  count         = var.access_log_bucket == null ? 0 : 1
  bucket        = aws_s3_bucket.calls.id
  target_bucket = var.access_log_bucket
  target_prefix = "${var.bucket}/"
}

resource "aws_s3_bucket_policy" "calls" {
  bucket     = aws_s3_bucket.calls.id
  depends_on = [aws_s3_bucket_public_access_block.calls]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"                                                       # why: a denial, which must hold for everybody
      Action    = "s3:*"                                                    # why: a denial of everything
      Resource  = [aws_s3_bucket.calls.arn, "${aws_s3_bucket.calls.arn}/*"] # why: the bucket and all its objects
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }, {
      Sid       = "OnlyTls12"
      Effect    = "Deny"
      Principal = "*"                                                       # why: a denial, which must hold for everybody
      Action    = "s3:*"                                                    # why: a denial of everything
      Resource  = [aws_s3_bucket.calls.arn, "${aws_s3_bucket.calls.arn}/*"] # why: the bucket and all its objects
      Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
    }]
  })
}

resource "aws_s3_bucket_lifecycle_configuration" "calls" {
  #checkov:skip=CKV_AWS_300:The first rule does; checkov does not find it beside dynamic ones.
  bucket     = aws_s3_bucket.calls.id
  depends_on = [aws_s3_bucket_versioning.calls]

  # What a killed worker left: the parts of an upload, and streams that nobody has completed.
  rule {
    id     = "abort-incomplete-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  dynamic "rule" {
    for_each = local.passing
    content {
      id     = "expire-${rule.key}"
      status = "Enabled"
      filter {
        prefix = "${local.prefix}${rule.value.folder}/"
      }
      expiration {
        days = rule.value.days
      }
    }
  }

  # S3 moves only objects of 128 KiB and more, so in effect the recordings; records and transcripts stay at hand.
  dynamic "rule" {
    for_each = var.transition_days == null ? [] : [var.transition_days]
    content {
      id     = "recordings-to-infrequent-access"
      status = "Enabled"
      filter {
        and {
          prefix                   = "${local.prefix}calls/"
          object_size_greater_than = 128 * 1024
        }
      }
      transition {
        days          = rule.value
        storage_class = "STANDARD_IA"
      }
    }
  }

  dynamic "rule" {
    for_each = var.expire_days == null ? {} : { calls = "${local.prefix}calls/", index = "${local.prefix}index/" }
    content {
      id     = "expire-${rule.key}"
      status = "Enabled"
      filter {
        prefix = rule.value
      }
      expiration {
        days = var.expire_days
      }
    }
  }

  dynamic "rule" {
    for_each = var.versioning == "Disabled" ? [] : [var.noncurrent_days]
    content {
      id     = "expire-old-versions"
      status = "Enabled"
      filter {}
      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }
      expiration {
        expired_object_delete_marker = true
      }
    }
  }
}

locals {
  # What serves for a time only, whatever becomes of the calls.
  passing = {
    unfinished-streams = { folder = ".trunkline", days = 30 }
    idempotency-keys   = { folder = "idempotency", days = 7 }
    health-probes      = { folder = "health", days = 1 }
  }

  prefix = var.prefix == "" ? "" : "${trimsuffix(var.prefix, "/")}/"
}

data "aws_region" "this" {}
