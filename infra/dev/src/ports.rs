//! Free loopback ports, held until the server that will use them is about to start.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use crate::StackError;

/// A TCP port of the kernel's choosing, kept from others until dropped.
#[derive(Debug)]
pub(crate) struct TcpReservation(TcpListener, u16);

impl TcpReservation {
    /// Reserves on every interface, so that a server may bind it on any of them.
    pub(crate) fn new() -> Result<Self, StackError> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(StackError::NoPort)?;
        let port = listener.local_addr().map_err(StackError::NoPort)?.port();
        Ok(Self(listener, port))
    }

    pub(crate) fn port(&self) -> u16 {
        self.1
    }

    /// Frees the port for the server; between this and the server's own bind anybody may take it, which the server
    /// reports by exiting.
    pub(crate) fn release(self) {
        drop(self.0);
    }
}

/// A UDP port of the kernel's choosing, kept from others until dropped.
#[derive(Debug)]
pub(crate) struct UdpReservation(UdpSocket, u16);

impl UdpReservation {
    pub(crate) fn new() -> Result<Self, StackError> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(StackError::NoPort)?;
        let port = socket.local_addr().map_err(StackError::NoPort)?.port();
        Ok(Self(socket, port))
    }

    pub(crate) fn port(&self) -> u16 {
        self.1
    }

    /// As [`TcpReservation::release`].
    pub(crate) fn release(self) {
        drop(self.0);
    }
}
