output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "The VPC's addresses."
  value       = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  description = "Public subnets, by zone."
  value       = values(aws_subnet.public)[*].id
}

output "private_subnet_ids" {
  description = "Private subnets, by zone; none unless private_subnets."
  value       = values(aws_subnet.private)[*].id
}

output "nat_addresses" {
  description = "The addresses that private tasks are seen at from outside, for allow lists."
  value       = values(aws_eip.nat)[*].public_ip
}
