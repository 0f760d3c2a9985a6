# The registry of the container images.

resource "aws_ecr_repository" "this" {
  #checkov:skip=CKV_AWS_136:ECR's own encryption is on; the images hold no secret and no personal data.
  for_each = var.repositories

  name                 = "${var.name}/${each.value}"
  image_tag_mutability = "IMMUTABLE"
  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Keep what a rollback may need"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.keep }
      action       = { type = "expire" }
    }]
  })
}
