# What reaches a host: SIP from the providers' signalling networks, RTP from their media networks, nothing else.

resource "aws_security_group" "host" {
  name        = local.cluster
  description = "SIP and RTP from the providers only"
  vpc_id      = var.vpc_id
  tags        = { Name = local.cluster }
}

resource "aws_vpc_security_group_ingress_rule" "sip" {
  for_each = var.provider_cidrs

  security_group_id = aws_security_group.host.id
  description       = "SIP from a provider"
  cidr_ipv4         = each.value
  ip_protocol       = "udp"
  from_port         = 5060
  to_port           = 5060
}

resource "aws_vpc_security_group_ingress_rule" "rtp" {
  for_each = length(var.media_cidrs) > 0 ? var.media_cidrs : var.provider_cidrs

  security_group_id = aws_security_group.host.id
  description       = "RTP from a provider"
  cidr_ipv4         = each.value
  ip_protocol       = "udp"
  from_port         = var.rtp_ports.first
  to_port           = var.rtp_ports.last
}

# Media go to whatever address a provider's SDP names and to whatever LiveKit names in ICE.
resource "aws_vpc_security_group_egress_rule" "host" {
  #checkov:skip=CKV_AWS_382:Media addresses of providers and of LiveKit are not known beforehand.
  security_group_id = aws_security_group.host.id
  description       = "Out to anywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
