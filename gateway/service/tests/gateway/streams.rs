//! Calls over TCP and TLS, by sipp. Debian's sipp knows no TLS, so a relay of ours puts it around its TCP.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use service::Timeouts;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::agent::{Agent, Noticed};
use crate::fixture::{FROM, Fixture, NUMBER, SOON};
use crate::outbound::{allowed, dial, remove, request, trunk_over, went_well};
use crate::sipp::{self, Sipp};

async fn is_answered_and_hangs_up(fixture: &Fixture, server: SocketAddr) {
    let mut agent = Agent::join(fixture).await;
    let sipp = Sipp::call_over_tcp(server, &sipp::calls(FROM, NUMBER));
    agent.wait_for(Noticed::Status("active".into())).await;
    sipp.went_by_the_scenario().await;
    agent.wait_for(Noticed::CallerLeft).await;
    fixture.released().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_calls_in_over_tcp() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let server = fixture.gateway.stream_addrs().0.expect("TCP");
    is_answered_and_hangs_up(&fixture, server).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_calls_in_over_tls_before_and_after_the_certificate_is_replaced() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let server = fixture.gateway.stream_addrs().1.expect("TLS");
    let client = client(&fixture);
    let first = shown(&client, server).await;
    let relay = Relay::to_tls(server, client.clone()).await;
    is_answered_and_hangs_up(&fixture, relay.local).await;
    let (_, _, second) = fixture.authority.issue("localhost");
    assert_ne!(first, second);
    let deadline = Instant::now() + SOON;
    while shown(&client, server).await != second {
        assert!(Instant::now() < deadline, "the old certificate is still shown");
        sleep(Duration::from_millis(20)).await;
    }
    is_answered_and_hangs_up(&fixture, relay.local).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_dialled_over_tcp() {
    let fixture = Fixture::dialling(allowed()).await;
    let _agent = Agent::join(&fixture).await;
    let sipp = Sipp::start_over_tcp(&sipp::picks_up()).await;
    let trunk = trunk_over(&fixture, &sipp.address(), proto::SipTransport::Tcp).await;
    dial(&fixture, &request(&trunk)).await.expect("answered");
    remove(&fixture).await;
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_dialled_over_tls_at_a_server_that_shows_who_it_is() {
    let fixture = Fixture::dialling(allowed()).await;
    let _agent = Agent::join(&fixture).await;
    let sipp = Sipp::start_over_tcp(&sipp::picks_up()).await;
    let relay = Relay::from_tls(&fixture, sipp.address().parse().expect("an address")).await;
    let port = relay.local.port();
    // The certificate is for localhost: by its address the server could be anybody.
    let trunk = trunk_over(&fixture, &relay.local.to_string(), proto::SipTransport::Tls).await;
    assert!(dial(&fixture, &request(&trunk)).await.is_err());
    let trunk = trunk_over(&fixture, &format!("localhost:{port}"), proto::SipTransport::Tls).await;
    dial(&fixture, &request(&trunk)).await.expect("answered");
    remove(&fixture).await;
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

/// TLS on one side, TCP on the other. Ends when dropped.
struct Relay {
    local: SocketAddr,
    _connections: JoinSet<()>,
}

impl Relay {
    async fn to_tls(server: SocketAddr, client: TlsConnector) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let local = listener.local_addr().expect("bound");
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut relayed = JoinSet::new();
            while let Ok((mut plain, _)) = listener.accept().await {
                let client = client.clone();
                relayed.spawn(async move {
                    let stream = TcpStream::connect(server).await.expect("connected");
                    let mut tls = client.connect(localhost(), stream).await.expect("a handshake");
                    // Either side may end it.
                    let _ = copy_bidirectional(&mut plain, &mut tls).await;
                });
            }
        });
        Self {
            local,
            _connections: connections,
        }
    }

    async fn from_tls(fixture: &Fixture, server: SocketAddr) -> Self {
        let (certificate, key, _) = fixture.authority.issue("localhost");
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(certificate).expect("a certificate")],
                PrivateKeyDer::from_pem_file(key).expect("a key"),
            )
            .expect("they fit");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let local = listener.local_addr().expect("bound");
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut relayed = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                relayed.spawn(async move {
                    // A client that does not trust us goes away.
                    let Ok(mut tls) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut plain = TcpStream::connect(server).await.expect("connected");
                    let _ = copy_bidirectional(&mut tls, &mut plain).await;
                });
            }
        });
        Self {
            local,
            _connections: connections,
        }
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

fn client(fixture: &Fixture) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_file(fixture.authority.file()).expect("a certificate");
    roots.add(root).expect("a root");
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// The certificate that the gateway shows.
async fn shown(client: &TlsConnector, server: SocketAddr) -> Vec<u8> {
    let stream = TcpStream::connect(server).await.expect("connected");
    let stream = client.connect(localhost(), stream).await.expect("a handshake");
    stream.get_ref().1.peer_certificates().expect("shown")[0].to_vec()
}
