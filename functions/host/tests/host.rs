//! The port over real sockets. Limits that a test waits for are short, and all others far longer than the test: what is asserted is that
//! something ended, and that it did not end before its limit.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    io::{ErrorKind, Read},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use host::{Host, Limits};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use platform::lifecycle::Lifecycle;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::{Instant, interval, timeout},
};

/// The limit that a test waits for.
const SHORT: Duration = Duration::from_millis(300);
/// All others: no test takes so long.
const LONG: Duration = Duration::from_mins(10);
/// Whatever does not end in this time does not end.
const NEVER: Duration = Duration::from_secs(20);

const LIMITS: Limits = Limits {
    connections: 512,
    head: LONG,
    idle: LONG,
    request: LONG,
    write: LONG,
    drain: LONG,
};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

struct Port {
    address: SocketAddr,
    life: Lifecycle,
}

impl Port {
    fn open(limits: Limits, router: Router) -> Self {
        let listener = host::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let life = Lifecycle::new();
        life.tasks
            .spawn(Host::new(listener, router, limits).run(life.clone()));
        Self { address, life }
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Waits until every task has ended.
    async fn ended(&self) {
        self.life.tasks.close();
        timeout(NEVER, self.life.tasks.wait()).await.unwrap();
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// One answer: its head in lower case, and its body.
    async fn answer(&mut self) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(NEVER, self.0.read_u8()).await.unwrap().unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        timeout(NEVER, self.0.read_exact(&mut body))
            .await
            .unwrap()
            .unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    async fn ask(&mut self) {
        self.send(REQUEST).await;
        let (head, body) = self.answer().await;
        assert!(
            head.starts_with("http/1.1 200 ") && body == "hello",
            "{head}{body}"
        );
    }

    /// Waits for the end of the connection; what came before it.
    async fn closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = timeout(NEVER, self.0.read_to_end(&mut rest))
            .await
            .expect("the connection is closed");
        rest
    }

    /// Sends `piece` every 10 ms until the connection ends; what came before that.
    async fn trickle(&mut self, piece: &str) -> Vec<u8> {
        let (mut reader, mut writer) = self.0.split();
        let mut rest = Vec::new();
        let trickle = async {
            let mut ticks = interval(Duration::from_millis(10));
            while writer.write_all(piece.as_bytes()).await.is_ok() {
                ticks.tick().await;
            }
            std::future::pending::<()>().await;
        };
        let ended = async {
            tokio::select! {
                () = trickle => {}
                _ = reader.read_to_end(&mut rest) => {}
            }
        };
        timeout(NEVER, ended).await.expect("the connection is closed");
        rest
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn a_silent_connection_is_closed_when_its_head_is_due() {
    let port = Port::open(
        Limits {
            head: SHORT,
            ..LIMITS
        },
        hello(),
    );
    let connected = Instant::now();
    let mut client = port.client().await;
    assert!(client.closed().await.is_empty());
    assert!(connected.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let port = Port::open(
        Limits {
            head: SHORT,
            ..LIMITS
        },
        hello(),
    );
    let connected = Instant::now();
    let mut client = port.client().await;
    client.send("GET / HTTP/1.1\r\n").await;
    client.trickle("x-a: b\r\n").await;
    assert!(connected.elapsed() >= SHORT);

    // On a connection that was served before, too.
    let mut client = port.client().await;
    client.ask().await;
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\n").await;
    client.trickle("x-a: b\r\n").await;
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_body_that_trickles_in_gets_503_and_is_cut_off() {
    let router = Router::new().route("/", post(async |body: Bytes| body.len().to_string()));
    let port = Port::open(
        Limits {
            request: SHORT,
            ..LIMITS
        },
        router,
    );
    let mut client = port.client().await;
    let begun = Instant::now();
    client
        .send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n")
        .await;
    let answer = String::from_utf8(client.trickle("x").await).unwrap();
    assert!(begun.elapsed() >= SHORT);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("/problems/unavailable"), "{answer}");
}

#[tokio::test]
async fn one_connection_serves_many_requests_and_may_pause_between_them() {
    let limits = Limits {
        head: SHORT,
        idle: SHORT * 3,
        ..LIMITS
    };
    let port = Port::open(limits, hello());
    let mut client = port.client().await;
    for _ in 0..5 {
        client.ask().await;
    }
    let asked = Instant::now();
    client.ask().await;
    client.closed().await;
    assert!(
        asked.elapsed() >= SHORT * 3,
        "the limit of a head is not the limit of a pause"
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let port = Port::open(LIMITS, hello());
    let mut client = port.client().await;
    client.send(&REQUEST.repeat(10)).await;
    for _ in 0..10 {
        assert_eq!(client.answer().await.1, "hello");
    }
}

#[tokio::test]
async fn a_sender_that_does_not_read_its_answer_is_cut_off() {
    let large = async || {
        let pieces = std::iter::repeat_n(Bytes::from(vec![0; 1 << 20]), 256);
        Body::from_stream(futures_util::stream::iter(pieces.map(Ok::<_, std::io::Error>)))
    };
    let router = Router::new().route("/", get(large));
    let port = Port::open(
        Limits {
            write: SHORT,
            ..LIMITS
        },
        router,
    );
    let mut client = port.client().await;
    let asked = Instant::now();
    client.send(REQUEST).await;
    client.0.readable().await.unwrap();
    // The limit of the drain is far off: only that of the write can end it.
    port.life.soft.cancel();
    port.ended().await;
    assert!(asked.elapsed() >= SHORT);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_silent_connections_keep_nobody_out() {
    const SILENT: usize = 3_000;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(
        most > 4_000,
        "this test needs 4,000 open files: ulimit -Hn says {most}"
    );
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let limits = Limits {
        head: LONG,
        ..Limits::default()
    };
    let port = Port::open(limits, hello());
    let mut known = port.client().await;
    known.ask().await;

    let address = port.address;
    let connect = move || {
        let connect = |_| {
            let silent = std::net::TcpStream::connect(address).unwrap();
            silent.set_nonblocking(true).unwrap();
            silent
        };
        (0..SILENT).map(connect).collect::<Vec<_>>()
    };
    let mut silent = tokio::task::spawn_blocking(connect).await.unwrap();
    // All of them are in their time, and are in before this one.
    port.client().await.ask().await;
    known.ask().await;
    let is_open = |silent: &mut std::net::TcpStream| {
        silent
            .read(&mut [0])
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let open = silent
        .iter_mut()
        .filter_map(|silent| is_open(silent).then_some(()))
        .count();
    assert!(open > 0 && open < limits.connections, "{open} are left");
}

#[tokio::test]
async fn a_drain_ends_what_is_idle_and_lets_a_running_request_finish() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let slow = async move || {
        tell.notify_one();
        wait.notified().await;
        "done"
    };
    let port = Port::open(LIMITS, hello().route("/slow", get(slow)));
    let (mut new, mut idle, mut busy) = (port.client().await, port.client().await, port.client().await);
    idle.ask().await;
    busy.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
    begun.notified().await;

    port.life.soft.cancel();
    assert!(idle.closed().await.is_empty());
    assert!(new.closed().await.is_empty());
    assert!(
        TcpStream::connect(port.address).await.is_err(),
        "the port is closed"
    );
    assert_eq!(
        port.life.tasks.len(),
        2,
        "the running request is left, with its connection"
    );
    go_on.notify_one();
    let (head, body) = busy.answer().await;
    assert!(
        head.starts_with("http/1.1 200 ") && body == "done",
        "{head}{body}"
    );
    assert!(head.contains("connection: close"), "{head}");
    port.ended().await;
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_or_the_hard_token_is_cut() {
    assert_eq!(Limits::default().drain, Duration::from_secs(5));
    for (limit, is_hard) in [(SHORT, false), (LONG, true)] {
        let begun = Arc::new(Notify::new());
        let tell = begun.clone();
        let endless = async move || {
            tell.notify_one();
            std::future::pending::<()>().await;
        };
        let limits = Limits {
            drain: limit,
            request: limit * 2,
            ..LIMITS
        };
        let port = Port::open(limits, Router::new().route("/", get(endless)));
        let mut client = port.client().await;
        client.send(REQUEST).await;
        begun.notified().await;
        let asked = Instant::now();
        if is_hard {
            port.life.hard.cancel();
        } else {
            port.life.soft.cancel();
        }
        assert!(client.closed().await.is_empty());
        port.ended().await;
        assert!(is_hard || asked.elapsed() >= SHORT);
    }
}

#[tokio::test]
async fn what_a_sender_that_goes_has_begun_is_brought_to_its_end_and_waited_for() {
    let (begun, go_on, done) = (
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
    );
    let (tell, wait, end) = (begun.clone(), go_on.clone(), done.clone());
    let slow = async move || {
        tell.notify_one();
        wait.notified().await;
        end.notify_one();
        "done"
    };
    let limits = Limits {
        connections: 1,
        drain: SHORT,
        ..LIMITS
    };
    let port = Port::open(limits, hello().route("/slow", get(slow)));
    for is_draining in [false, true] {
        let mut client = port.client().await;
        client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
        timeout(NEVER, begun.notified()).await.unwrap();
        let mut next = None;
        if is_draining {
            port.life.soft.cancel();
            client.closed().await;
        } else {
            drop(client);
            // The one place is taken until the request is over: how many run is bounded by the connections.
            let mut waiting = port.client().await;
            waiting.send(REQUEST).await;
            assert!(timeout(SHORT, waiting.0.readable()).await.is_err());
            next = Some(waiting);
        }
        go_on.notify_one();
        timeout(NEVER, done.notified()).await.unwrap();
        if let Some(mut waiting) = next {
            assert_eq!(waiting.answer().await.1, "hello");
        }
    }
    port.ended().await;
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_sender_a_500_and_nobody_else_anything() {
    let panics = async || -> &'static str { panic!("by purpose") };
    let port = Port::open(LIMITS, hello().route("/panic", get(panics)));
    let mut client = port.client().await;
    client.send("GET /panic HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 500 "), "{head}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert!(
        body.contains("/problems/internal") && !body.contains("purpose"),
        "{body}"
    );
    client.ask().await;
    port.client().await.ask().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let port = Port::open(LIMITS, hello());
    let large = format!(
        "GET / HTTP/1.1\r\nhost: test\r\nx-a: {}\r\n\r\n",
        "a".repeat(17_000)
    );
    let many = format!("GET / HTTP/1.1\r\nhost: test\r\n{}\r\n", "x-a: b\r\n".repeat(100));
    for head in [large, many] {
        let mut client = port.client().await;
        client.send(&head).await;
        let answer = String::from_utf8(client.closed().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn answers_are_not_kept_or_guessed_at_unless_their_handler_says_so() {
    let cached = async || ([("cache-control", "max-age=60")], "kept").into_response();
    let port = Port::open(LIMITS, hello().route("/cached", get(cached)));
    let mut client = port.client().await;
    client.send(REQUEST).await;
    let (head, _) = client.answer().await;
    for line in [
        "cache-control: no-store\r\n",
        "x-content-type-options: nosniff\r\n",
        "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n",
        "date: ",
    ] {
        assert!(head.contains(line), "no {line:?} in {head}");
    }
    client.send("GET /cached HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let (head, _) = client.answer().await;
    assert!(
        head.contains("cache-control: max-age=60\r\n") && !head.contains("no-store"),
        "{head}"
    );
}
