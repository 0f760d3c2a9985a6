//! The types of `sip.registrations`: accounts at providers that calls come by.

use std::time::Duration;

use crate::Secret;

/// An entry of `sip.registrations`.
#[derive(Debug, Clone)]
pub struct Registration {
    /// `name`: for logs and health.
    pub name: String,
    /// `server`: the registrar's host. Default: the provider's.
    pub host: String,
    /// `server`'s port, where it is not the transport's usual one.
    pub port: Option<u16>,
    /// `transport`. Default: the provider's, or UDP.
    pub transport: SipTransport,
    /// `user`: the account's.
    pub user: String,
    /// `auth_user`: what the password belongs to. Default: `user`.
    pub auth_user: String,
    /// `password`.
    pub password: Secret,
    /// `domain`: of the account's address. Default: the registrar's host.
    pub domain: String,
    /// `expires`: what the registrar is asked for. 1 m to 24 h. Default: the provider's, or `5m`.
    pub expires: Duration,
    /// `number`: the called number that calls of the account count as. Default: the one in their To header.
    pub number: Option<String>,
}

/// How SIP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SipTransport {
    /// By datagrams.
    Udp,
    /// By connections.
    Tcp,
    /// By connections under TLS.
    Tls,
}
