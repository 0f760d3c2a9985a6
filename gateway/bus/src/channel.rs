//! Names of the Redis channels: parts joined by `|`, absent parts left out, foreign characters escaped.

use std::fmt::Write as _;

/// The channels that a service speaks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel<'a> {
    /// Requests to the servers of a method.
    Request {
        service: &'a str,
        method: &'a str,
        topic: &'a str,
    },
    /// Bids of servers for a request of one client.
    Claim { service: &'a str, client: &'a str },
    /// The grant of one bid.
    ClaimGrant {
        service: &'a str,
        method: &'a str,
        topic: &'a str,
    },
    /// Responses to one client.
    Response { service: &'a str, client: &'a str },
}

impl Channel<'_> {
    /// The channel's name on the wire.
    pub fn name(&self) -> String {
        match *self {
            Channel::Request {
                service,
                method,
                topic,
            } => join(&[service, method, topic], "REQ"),
            Channel::Claim { service, client } => join(&[service, client], "CLAIM"),
            Channel::ClaimGrant {
                service,
                method,
                topic,
            } => join(&[service, method, topic], "RCLAIM"),
            Channel::Response { service, client } => join(&[service, client], "RES"),
        }
    }
}

fn join(parts: &[&str], kind: &str) -> String {
    let mut name = String::with_capacity(64);
    for part in parts.iter().filter(|part| !part.is_empty()) {
        escape_into(part, &mut name);
        name.push('|');
    }
    name.push_str(kind);
    name
}

/// Characters outside `[0-9A-Za-z_]` become `u+` and four lower-case hex digits (more beyond the basic plane).
fn escape_into(part: &str, name: &mut String) {
    for c in part.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            name.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "u+{:04x}", u32::from(c));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_seen_on_the_wire() {
        let (service, client) = ("IOInfo", "CLI_MQa3ccQWk5Zu");
        let method = "GetSIPTrunkAuthentication";
        let cases = [
            (
                Channel::Request {
                    service,
                    method,
                    topic: "",
                },
                "IOInfo|GetSIPTrunkAuthentication|REQ",
            ),
            (
                Channel::ClaimGrant {
                    service,
                    method,
                    topic: "",
                },
                "IOInfo|GetSIPTrunkAuthentication|RCLAIM",
            ),
            (
                Channel::Claim { service, client },
                "IOInfo|CLI_MQa3ccQWk5Zu|CLAIM",
            ),
            (
                Channel::Response { service, client },
                "IOInfo|CLI_MQa3ccQWk5Zu|RES",
            ),
            (
                Channel::Request {
                    service: "SIPInternal",
                    method: "TransferSIPParticipant",
                    topic: "SCL_daaP7Vm95LDj",
                },
                "SIPInternal|TransferSIPParticipant|SCL_daaP7Vm95LDj|REQ",
            ),
        ];
        for (channel, name) in cases {
            assert_eq!(channel.name(), name);
        }
    }

    #[test]
    fn foreign_characters_are_escaped() {
        let channel = Channel::Request {
            service: "S",
            method: "M",
            topic: "agent-1",
        };
        assert_eq!(channel.name(), "S|M|agentu+002d1|REQ");
        let channel = Channel::Request {
            service: "S",
            method: "M",
            topic: "é𝄞",
        };
        assert_eq!(channel.name(), "S|M|u+00e9u+1d11e|REQ");
    }
}
