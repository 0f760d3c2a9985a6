//! Kamailio (Debian's) as a registrar that wants a password, and a proxy.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::time::{Duration, Instant, timeout};

use crate::fixture::{PASSWORD, SOON};
use crate::sipp::free_port;

/// The account that it knows.
pub(crate) const USER: &str = "100";
/// It grants no more, in seconds.
pub(crate) const LONGEST_S: u64 = 4;

/// A running Kamailio, which keeps what is registered in memory.
pub(crate) struct Kamailio {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Kamailio {
    pub(crate) async fn start() -> Self {
        // It listens for both.
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let port = std::iter::repeat_with(free_port).find(is_free).expect("a port");
        Self::start_at(port).await
    }

    /// At a port that others know already.
    pub(crate) async fn start_at(port: u16) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("kamailio.cfg");
        std::fs::write(&file, configuration(port)).expect("written");
        let child = Command::new("kamailio")
            .arg("-f")
            .arg(&file)
            .args(["-DD", "-E", "-m", "16", "-M", "4"])
            .arg("-Y")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a file"))
            .spawn()
            .expect("kamailio is installed");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let kamailio = Self {
            child,
            address,
            folder,
        };
        let deadline = Instant::now() + SOON;
        while kamailio.status_of("OPTIONS", "nobody").await.is_none() {
            let said = || std::fs::read_to_string(kamailio.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "kamailio does not answer: {}", said());
        }
        kamailio
    }

    /// The status that a request for a user gets, but 100; `None` when there is no answer soon.
    pub(crate) async fn status_of(&self, method: &str, user: &str) -> Option<u16> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let (me, server) = (socket.local_addr().expect("bound"), self.address);
        let request = format!(
            "{method} sip:{user}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{0};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:probe@{me}>;tag=probe\r\nTo: <sip:{user}@{server}>\r\nCall-ID: probe-{0}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:probe@{me}>\r\nContent-Length: 0\r\n\r\n",
            me.port()
        );
        // A server that is not there yet is no fault.
        socket.send_to(request.as_bytes(), server).await.ok()?;
        let mut buffer = vec![0; 4_096];
        loop {
            let received = timeout(Duration::from_millis(200), socket.recv(&mut buffer)).await;
            let length = received.ok()?.ok()?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let status = text.split(' ').nth(1)?.parse().ok()?;
            if status != 100 {
                return Some(status);
            }
        }
    }

    /// Ends it; all that was registered is forgotten.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Its processes end with the first one, if that may say so.
        let told = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        if told.is_ok() {
            let _ = self.child.wait();
        }
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

fn configuration(port: u16) -> String {
    format!(
        r#"
debug=0
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/"
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("registrar", "max_expires", {LONGEST_S})
modparam("registrar", "min_expires", 1)
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK") && t_check_trans()) t_relay();
        exit;
    }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("test", "{PASSWORD}", "0")) {{ www_challenge("test", "1"); exit; }}
        if ($au != "{USER}") {{ sl_send_reply("403", "Forbidden"); exit; }}
        if (!save("location")) sl_reply_error();
        exit;
    }}
    record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}
"#
    )
}
