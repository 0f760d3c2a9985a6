//! What ICMP says of our datagrams: that nobody listens where they went (RFC 3261 §18.4). A socket that is not connected hears of it only
//! by its error queue (`ip(7)`, `IP_RECVERR`).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::libc::{sock_extended_err, sockaddr_in6};
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use tokio::net::UdpSocket;

/// Of the datagram that was returned: its head would do, and where it went is beside it.
const DATAGRAM: usize = 64;

/// Lets the socket hear of it.
pub(super) fn listen(socket: &UdpSocket) {
    // Each is for one family. Who has neither hears of nothing, and waits for its timers.
    let _ = setsockopt(socket, Ipv4RecvErr, &true);
    let _ = setsockopt(socket, Ipv6RecvErr, &true);
}

/// Whether an error of the socket is of this kind. It surfaces at whatever is asked of the socket next, once.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
    )
}

/// The next one in the queue: where a datagram went that nobody took. `None`: it is of another kind, such as one too long.
///
/// # Errors
/// `WouldBlock` when there is none.
pub(super) fn next(socket: &UdpSocket) -> io::Result<Option<SocketAddr>> {
    let mut datagram = [0; DATAGRAM];
    let mut slices = [IoSliceMut::new(&mut datagram)];
    let mut control = nix::cmsg_space!(sock_extended_err, sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let is_refusal = message.cmsgs()?.any(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            let errno = i32::try_from(error.ee_errno).map(Errno::from_raw);
            matches!(
                errno,
                Ok(Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH)
            )
        }
        _ => false,
    });
    Ok(message.address.as_ref().filter(|_| is_refusal).and_then(address))
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()));
    }
    let v6 = storage.as_sockaddr_in6()?;
    Some(SocketAddr::new(IpAddr::V6(v6.ip()), v6.port()))
}
