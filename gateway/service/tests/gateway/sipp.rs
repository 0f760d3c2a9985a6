//! A phone played by sipp (Debian's `sip-tester`): what it is to do is a scenario of its own language.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use dev::RtpPorts;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Within which a scenario must have come to its end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running sipp, which serves one call.
pub(crate) struct Sipp {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl Sipp {
    /// Starts it with these steps, and waits until it listens.
    pub(crate) async fn start(steps: &[String]) -> Self {
        Self::start_at(free_port(), steps).await
    }

    /// The same at a port that others know already.
    pub(crate) async fn start_at(port: u16, steps: &[String]) -> Self {
        let mut sipp = Self::spawn(port, steps, &["-t", "u1"]);
        sipp.listens("udp").await;
        sipp
    }

    /// The same over TCP.
    pub(crate) async fn start_over_tcp(steps: &[String]) -> Self {
        let port = free_port();
        let mut sipp = Self::spawn(port, steps, &["-t", "t1"]);
        sipp.listens("tcp").await;
        sipp
    }

    /// Calls by this server over UDP.
    pub(crate) fn call(server: SocketAddr, steps: &[String]) -> Self {
        Self::spawn(free_port(), steps, &["-t", "u1", &server.to_string()])
    }

    /// Calls this server over TCP.
    pub(crate) fn call_over_tcp(server: SocketAddr, steps: &[String]) -> Self {
        Self::spawn(free_port(), steps, &["-t", "t1", &server.to_string()])
    }

    /// Waits until it has its socket. The kernel is asked: whoever tried to bind the port might have it when sipp wants it.
    async fn listens(&mut self, protocol: &str) {
        let deadline = Instant::now() + PATIENCE;
        let ours = format!(" 0100007F:{:04X} ", self.port);
        let is_bound = || {
            let sockets = std::fs::read_to_string(format!("/proc/net/{protocol}")).expect("Linux");
            // Of a TCP socket, one that listens.
            let is_it = |line: &str| {
                line.contains(&ours) && (protocol == "udp" || line.contains(" 00000000:0000 0A "))
            };
            sockets.lines().any(is_it)
        };
        while !is_bound() {
            let ended = self.child.try_wait().expect("waited for");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "sipp does not listen at {}: {ended:?}\n{}",
                self.port,
                self.said()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it wrote to its standard error.
    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(STDERR)).unwrap_or_default()
    }

    fn spawn(port: u16, steps: &[String], more: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("scenario.xml");
        let scenario = format!(
            "<?xml version=\"1.0\"?>\n<scenario name=\"phone\">\n{}\n</scenario>\n",
            steps.concat()
        );
        std::fs::write(&file, scenario).expect("written");
        let media = free_port();
        let child = Command::new("sipp")
            .arg("-sf")
            .arg(&file)
            .args(["-i", "127.0.0.1", "-p", &port.to_string()])
            .args(["-mi", "127.0.0.1", "-mp", &media.to_string()])
            .args(["-m", "1", "-rtp_echo", "-nostdin", "-timeout", "60s"])
            .args(["-trace_msg", "-message_file", MESSAGES])
            .args(more)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join(STDERR)).expect("created"))
            .kill_on_drop(true)
            .spawn()
            .expect("sipp is installed");
        Self { child, port, folder }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Waits for the scenario's end: sipp itself says whether the call went by it.
    pub(crate) async fn went_by_the_scenario(self) {
        self.messages().await;
    }

    /// The same; the messages of the call, and whether sipp sent them.
    pub(crate) async fn messages(mut self) -> Vec<(bool, String)> {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let code = status.map(|status| status.expect("waited for").code());
        assert_eq!(
            code,
            Ok(Some(0)),
            "the call did not go by the scenario to its end\n{}",
            self.said()
        );
        let log = std::fs::read_to_string(self.folder.path().join(MESSAGES)).unwrap_or_default();
        let message = |part: &str| {
            let (about, message) = part.split_once("\n\n")?;
            Some((about.contains(" message sent "), message.to_owned()))
        };
        log.split(BETWEEN).filter_map(message).collect()
    }
}

const STDERR: &str = "stderr.txt";
const MESSAGES: &str = "messages.txt";
/// What sipp writes before each of them.
const BETWEEN: &str = "----------------------------------------------- ";

/// Ports that no socket gets by chance, and no other run of tests.
static PORTS: LazyLock<RtpPorts> = LazyLock::new(|| RtpPorts::reserve().expect("ports"));
static NEXT: AtomicU16 = AtomicU16::new(0);
/// sipp takes four ports from the one for media on, for sound and pictures.
const STEP: u16 = 6;

/// A port for a server, another program's too, or for sipp's media: a different one each time, until all have had their turn.
pub(crate) fn free_port() -> u16 {
    let ports = PORTS.range();
    let room = (ports.end() - ports.start() + 1) / STEP;
    let is_free = |port: &u16| {
        let address = (Ipv4Addr::LOCALHOST, *port);
        UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
    };
    let mut candidates =
        (0..room).map(|_| ports.start() + NEXT.fetch_add(1, Ordering::Relaxed) % room * STEP);
    candidates.find(is_free).expect("a free port")
}

const COPIED: &str =
    "[last_Via:]\n[last_From:]\n[last_To:];tag=uas[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n";
const CONTACT: &str = "Contact: <sip:uas@[local_ip]:[local_port]>\n";

pub(crate) fn receive(method: &str) -> String {
    format!("<recv request=\"{method}\" crlf=\"true\" timeout=\"15000\"/>\n")
}

pub(crate) fn pause(milliseconds: u32) -> String {
    format!("<pause milliseconds=\"{milliseconds}\"/>\n")
}

/// An answer to what was received last, with more headers.
pub(crate) fn answer(status: &str, more: &str) -> String {
    format!("<send><![CDATA[\nSIP/2.0 {status}\n{COPIED}{CONTACT}{more}Content-Length: 0\n\n]]></send>\n")
}

/// An answer to a request within the dialog, whose To has its tag.
pub(crate) fn answer_within(status: &str) -> String {
    answer(status, "").replace("[last_To:];tag=uas[call_number]", "[last_To:]")
}

/// An answer with SDP: PCMU and telephone-events.
pub(crate) fn answer_with_sdp(status: &str, more: &str) -> String {
    format!(
        "<send retrans=\"500\"><![CDATA[\nSIP/2.0 {status}\n{COPIED}{CONTACT}{more}Content-Type: application/sdp\nContent-Length: [len]\n\n\
         v=0\no=- 1 1 IN IP4 [media_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 0 101\n\
         a=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\n\n]]></send>\n"
    )
}

/// A request of the phone within the dialog.
pub(crate) fn request(method: &str, more: &str, body: &str) -> String {
    format!(
        "<send retrans=\"500\"><![CDATA[\n{method} [next_url] SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n\
         Max-Forwards: 70\nFrom: [$callee];tag=uas[call_number]\nTo: [$caller]\n[last_Call-ID:]\nCSeq: [cseq] {method}\n\
         {CONTACT}{more}Content-Length: [len]\n\n{body}\n]]></send>\n<recv response=\"200\" crlf=\"true\" timeout=\"15000\"/>\n"
    )
}

/// A re-INVITE of the phone: with an offer of this direction, or without one and with the answer in its ACK. The 200 must have `expected`.
pub(crate) fn reinvite(offer: Option<&str>, expected: &str, answer: Option<&str>) -> String {
    let sdp = |direction: &str| {
        format!(
            "v=0\no=- 1 2 IN IP4 [media_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 0 101\n\
             a=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=ptime:20\na={direction}\n"
        )
    };
    let head = |method: &str, body: Option<&str>| {
        let (kind, body) = body.map_or((String::new(), String::new()), |direction| {
            ("Content-Type: application/sdp\n".to_owned(), sdp(direction))
        });
        format!(
            "{method} [next_url] SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\n\
             From: [$callee];tag=uas[call_number]\nTo: [$caller]\n[last_Call-ID:]\nCSeq: [cseq] {method}\n{CONTACT}{kind}\
             Content-Length: [len]\n\n{body}"
        )
    };
    format!(
        "<send retrans=\"500\"><![CDATA[\n{}\n]]></send>\n\
         <recv response=\"100\" optional=\"true\"/>\n\
         <recv response=\"200\" crlf=\"true\" timeout=\"15000\"><action>\
         <ereg regexp=\"a={expected}\" search_in=\"body\" check_it=\"true\" assign_to=\"direction\"/></action></recv>\n\
         <Reference variables=\"direction\"/>\n\
         <send><![CDATA[\n{}\n]]></send>\n",
        head("INVITE", offer),
        head("ACK", answer),
    )
}

/// The INVITE, whose From and To are remembered for requests of the phone.
pub(crate) fn receive_invite() -> String {
    "<recv request=\"INVITE\" crlf=\"true\" rrs=\"true\" timeout=\"15000\"><action>\
     <ereg regexp=\".*\" search_in=\"hdr\" header=\"From:\" check_it=\"true\" assign_to=\"caller\"/>\
     <ereg regexp=\".*\" search_in=\"hdr\" header=\"To:\" check_it=\"true\" assign_to=\"callee\"/>\
     </action></recv>\n<Reference variables=\"caller,callee\"/>\n"
        .to_owned()
}

/// A caller that is answered and hangs up.
pub(crate) fn calls(from: &str, to: &str) -> Vec<String> {
    calls_by(from, to, "")
}

/// The same by a proxy that stays on the way.
pub(crate) fn calls_by_proxy(from: &str, to: &str) -> Vec<String> {
    calls_by(from, to, "[routes]\n")
}

fn calls_by(from: &str, to: &str, routes: &str) -> Vec<String> {
    let request = |method: &str, target: &str, cseq: u32, more: &str| {
        format!(
            "{method} {target} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\n\
             From: <sip:{from}@[local_ip]:[local_port]>;tag=uac[call_number]\nTo: <sip:{to}@[remote_ip]:[remote_port]>[peer_tag_param]\n\
             Call-ID: [call_id]\nCSeq: {cseq} {method}\nContact: <sip:uac@[local_ip]:[local_port];transport=[transport]>\n{more}"
        )
    };
    let sdp = "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\no=- 1 1 IN IP4 [media_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\n\
               m=audio [media_port] RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=ptime:20\n";
    let target = format!("sip:{to}@[remote_ip]:[remote_port]");
    let empty = format!("{routes}Content-Length: 0\n\n");
    vec![
        format!(
            "<send retrans=\"500\"><![CDATA[\n{}\n]]></send>\n",
            request("INVITE", &target, 1, sdp)
        ),
        "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"180\" timeout=\"15000\"/>\n\
         <recv response=\"200\" rrs=\"true\" timeout=\"15000\"/>\n"
            .to_owned(),
        format!(
            "<send><![CDATA[\n{}\n]]></send>\n",
            request("ACK", "[next_url]", 1, &empty)
        ),
        pause(500),
        format!(
            "<send retrans=\"500\"><![CDATA[\n{}\n]]></send>\n<recv response=\"200\" timeout=\"15000\"/>\n",
            request("BYE", "[next_url]", 2, &empty)
        ),
    ]
}

/// A phone that rings, is picked up, and is hung up on.
pub(crate) fn picks_up() -> Vec<String> {
    let mut steps = vec![
        receive("INVITE"),
        answer("100 Trying", ""),
        pause(500),
        answer("180 Ringing", ""),
        pause(300),
        answer_with_sdp("200 OK", "X-Callee: yes\n"),
        receive("ACK"),
    ];
    steps.extend(is_hung_up_on());
    steps
}

pub(crate) fn is_hung_up_on() -> Vec<String> {
    vec![receive("BYE"), answer_within("200 OK")]
}

/// A phone that refuses.
pub(crate) fn refuses(status: &str) -> Vec<String> {
    vec![receive("INVITE"), answer(status, ""), receive("ACK")]
}

/// A phone that rings until the call is taken back.
pub(crate) fn rings_in_vain() -> Vec<String> {
    let terminated = answer("487 Request Terminated", "").replace("[last_CSeq:]", "CSeq: 1 INVITE");
    vec![
        receive("INVITE"),
        answer("180 Ringing", ""),
        receive("CANCEL"),
        answer("200 OK", ""),
        terminated,
        receive("ACK"),
    ]
}

/// A phone behind a server that wants credentials and looks at them by `check`, the actions on the second INVITE, which set `right`.
pub(crate) fn wants_credentials(status: &str, challenge: &str, check: &str) -> Vec<String> {
    let mut steps = vec![
        receive("INVITE"),
        answer(status, &format!("{challenge}\n")),
        receive("ACK"),
        format!(
            "<recv request=\"INVITE\" crlf=\"true\" timeout=\"15000\"><action>{check}</action></recv>\n\
             <nop hide=\"true\" test=\"right\" next=\"1\"/>\n"
        ),
        answer("403 Forbidden", ""),
        receive("ACK"),
        "<nop hide=\"true\" next=\"2\"/>\n<label id=\"1\"/>\n".to_owned(),
        answer_with_sdp("200 OK", ""),
        receive("ACK"),
    ];
    steps.extend(is_hung_up_on());
    steps.push("<label id=\"2\"/>\n".to_owned());
    steps
}

/// sipp computes the digest itself; of Authorization only.
pub(crate) fn verifies(user: &str, password: &str) -> String {
    format!("<verifyauth assign_to=\"right\" username=\"{user}\" password=\"{password}\"/>")
}

/// What the header must hold.
pub(crate) fn looks_for(header: &str, regexp: &str) -> String {
    format!(
        "<ereg regexp=\"{regexp}\" search_in=\"hdr\" header=\"{header}:\" check_it=\"false\" assign_to=\"right\"/>"
    )
}
