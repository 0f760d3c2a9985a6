//! One question to one server: by UDP, and by TCP where the answer is too long for that (RFC 7766 §5).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use domain::base::Name;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Kind;
use super::message::{Answer, answer, question};

/// For an answer of one server. Those who ask others may be slow the first time.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A server may send more than the 512 bytes that we take without EDNS.
const DATAGRAM: usize = 4_096;

/// # Errors
/// Nothing has come, or nothing that can be read.
pub(super) async fn ask(server: SocketAddr, name: &Name<Vec<u8>>, kind: Kind) -> io::Result<Answer> {
    let asking = async {
        match by_udp(server, name, kind).await? {
            Answer::Truncated => by_tcp(server, name, kind).await,
            answer => Ok(answer),
        }
    };
    timeout(TIMEOUT, asking).await?
}

async fn by_udp(server: SocketAddr, name: &Name<Vec<u8>>, kind: Kind) -> io::Result<Answer> {
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    // A port of its own for each question: whoever wants to answer in the server's place has to guess it, and the id (RFC 5452 §9.2).
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let question = made(name, kind)?;
    socket.send(&question).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let message = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = answer(message, &question, kind) {
            return Ok(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, name: &Name<Vec<u8>>, kind: Kind) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let question = made(name, kind)?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(&question);
    stream.write_all(&out).await?;
    let mut message = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut message).await?;
    Ok(answer(&message, &question, kind).unwrap_or(Answer::Failed))
}

fn made(name: &Name<Vec<u8>>, kind: Kind) -> io::Result<Vec<u8>> {
    question(rand::random(), name, kind).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
