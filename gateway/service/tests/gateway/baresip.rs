//! A phone played by baresip (Debian's), which says back what it hears.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use livekit_protocol as proto;
use media::Suite;
use proto::SipMediaEncryption::{SipMediaEncryptAllow, SipMediaEncryptRequire};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::agent::{Agent, Noticed};
use crate::fixture::{CALLEE, Fixture, SOON, Wishes};
use crate::outbound::{allowed, dial, remove, request, trunk_over};
use crate::sipp::free_port;
use crate::srtp::{config, suite_of};

/// A running baresip.
pub(crate) struct Baresip {
    child: Child,
    port: u16,
    control_port: u16,
    folder: TempDir,
}

impl Baresip {
    /// Waits for calls to [`CALLEE`], with these parameters of its account, such as `;mediaenc=srtp`.
    pub(crate) fn waits(parameters: &str) -> Self {
        let account = format!("<sip:{CALLEE}@127.0.0.1>;regint=0;answermode=auto{parameters}\n");
        Self::start(free_port(), &account)
    }

    /// Is there to be told to call, as this user.
    pub(crate) fn calls(user: &str) -> Self {
        let port = free_port();
        Self::start(port, &format!("<sip:{user}@127.0.0.1:{port}>;regint=0\n"))
    }

    fn start(port: u16, account: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let control_port = free_port();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("config", &configuration(port, control_port));
        write("accounts", account);
        let log = File::create(folder.path().join("log")).expect("a file");
        let child = Command::new("baresip")
            .arg("-f")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("baresip is installed");
        Self {
            child,
            port,
            control_port,
            folder,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Waits until it has said this.
    pub(crate) async fn says(&self, text: &str) {
        let search = async {
            while !self.log().contains(text) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let said = timeout(SOON, search).await;
        assert!(said.is_ok(), "baresip does not say {text}:\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its control connection.
    pub(crate) async fn controls(&self) -> Controls {
        let stream = TcpStream::connect(("127.0.0.1", self.control_port)).await;
        Controls {
            stream: stream.expect("connected"),
            said: String::new(),
        }
    }

    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("killed");
    }
}

/// By which it says what it notices and is told what to do: JSON in netstrings, of which nothing but the text is looked at.
pub(crate) struct Controls {
    stream: TcpStream,
    said: String,
}

impl Controls {
    pub(crate) async fn tell(&mut self, command: &str, parameters: &str) {
        let json = format!(r#"{{"command":"{command}","params":"{parameters}"}}"#);
        let netstring = format!("{}:{json},", json.len());
        let written = self.stream.write_all(netstring.as_bytes()).await;
        written.expect("written");
    }

    /// Waits until it has noticed that this key was pressed here.
    async fn notices_key(&mut self, key: char) {
        let wanted = format!(r#""param":"{key}""#);
        let search = async {
            let mut buffer = [0; 4_096];
            loop {
                let mut events = self.said.split("\"event\"");
                if events.any(|event| event.contains("CALL_DTMF_START") && event.contains(&wanted)) {
                    return;
                }
                let length = self.stream.read(&mut buffer).await.expect("readable");
                assert_ne!(length, 0, "baresip has ended");
                self.said.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        };
        let found = timeout(SOON, search).await;
        assert!(found.is_ok(), "the key {key} was not noticed: {}", self.said);
    }
}

fn configuration(port: u16, control_port: u16) -> String {
    format!(
        "poll_method epoll\nnet_interface 127.0.0.1\nsip_listen 127.0.0.1:{port}\ncall_local_timeout 120\ncall_max_calls 1\n\
         audio_player aubridge,phone\naudio_source aubridge,phone\naudio_alert aubridge,bell\n\
         ausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\naudio_buffer 20-160\n\
         module_path /usr/lib/baresip/modules\nmodule aubridge.so\nmodule g711.so\nmodule g722.so\nmodule opus.so\n\
         module srtp.so\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n\
         module_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{control_port}\nopus_inbandfec yes\n"
    )
}

/// The agent says a tone, baresip says back what it hears: it can hear us, and we it.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_called_encrypted_where_it_must_be_or_may_be() {
    for (encryption, parameters) in [
        (SipMediaEncryptRequire, ";mediaenc=srtp-mand"),
        (SipMediaEncryptAllow, ";mediaenc=srtp"),
    ] {
        let fixture = Fixture::dialling(allowed()).await;
        let agent = Agent::join(&fixture).await;
        let baresip = Baresip::waits(parameters);
        baresip.says("baresip is ready").await;
        let trunk = trunk_over(&fixture, &baresip.address(), proto::SipTransport::Udp).await;
        let wanted = proto::CreateSipParticipantRequest {
            media: Some(config(encryption)),
            ..request(&trunk)
        };
        dial(&fixture, &wanted).await.expect("answered");
        agent.say(440.0, Duration::from_secs(1)).await;
        agent.hears(440.0).await;
        remove(&fixture).await;
        fixture.released().await;
        let suite = suite_of(&fixture).await;
        assert_eq!(
            suite.as_deref(),
            Some(Suite::Aes128CmSha1_80.name()),
            "{}",
            baresip.log()
        );
        baresip.stop().await;
        fixture.stop().await;
    }
}

async fn codec_of(fixture: &Fixture) -> String {
    fixture.leg().await.media.expect("sound").codec
}

/// It has telephone-events at 8000 Hz only, beside Opus too.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_called_by_opus_and_keys_go_both_ways() {
    let fixture = Fixture::wishing(Wishes {
        calls: allowed(),
        codecs: media::sdp::CODECS.to_vec(),
        ..Wishes::default()
    })
    .await;
    let mut agent = Agent::join(&fixture).await;
    let baresip = Baresip::waits(";audio_codecs=opus");
    baresip.says("baresip is ready").await;
    let mut controls = baresip.controls().await;
    let trunk = trunk_over(&fixture, &baresip.address(), proto::SipTransport::Udp).await;
    let wanted = proto::CreateSipParticipantRequest {
        dtmf: "4".into(),
        ..request(&trunk)
    };
    dial(&fixture, &wanted).await.expect("answered");
    controls.notices_key('4').await;
    controls.tell("sndcode", "7").await;
    agent.wait_for(Noticed::Digit("7".into())).await;
    agent.say(440.0, Duration::from_secs(1)).await;
    agent.hears(440.0).await;
    remove(&fixture).await;
    fixture.released().await;
    assert_eq!(codec_of(&fixture).await, "opus", "{}", baresip.log());
    println!("{:?}", fixture.leg().await.media);
    baresip.stop().await;
    fixture.stop().await;
}
