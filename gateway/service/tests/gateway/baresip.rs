//! A phone played by baresip (Debian's), which says back what it hears.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use livekit_protocol as proto;
use media::Suite;
use proto::SipMediaEncryption::{SipMediaEncryptAllow, SipMediaEncryptRequire};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::agent::Agent;
use crate::fixture::{CALLEE, Fixture, SOON};
use crate::outbound::{allowed, dial, remove, request, trunk_over};
use crate::sipp::free_port;
use crate::srtp::{config, suite_of};

/// A running baresip.
pub(crate) struct Baresip {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Baresip {
    /// Waits for calls to [`CALLEE`], with these parameters of its account, such as `;mediaenc=srtp`.
    pub(crate) fn waits(parameters: &str) -> Self {
        Self::start(CALLEE, parameters)
    }

    fn start(user: &str, parameters: &str) -> Self {
        let (folder, port) = (TempDir::new().expect("a folder"), free_port());
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("config", &configuration(port));
        let account = format!("<sip:{user}@127.0.0.1>;regint=0;answermode=auto{parameters}\n");
        write("accounts", &account);
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
        Self { child, port, folder }
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

    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("killed");
    }
}

fn configuration(port: u16) -> String {
    format!(
        "poll_method epoll\nnet_interface 127.0.0.1\nsip_listen 127.0.0.1:{port}\ncall_local_timeout 120\ncall_max_calls 1\n\
         audio_player aubridge,phone\naudio_source aubridge,phone\naudio_alert aubridge,bell\n\
         ausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\naudio_buffer 20-160\n\
         module_path /usr/lib/baresip/modules\nmodule aubridge.so\nmodule g711.so\nmodule g722.so\nmodule opus.so\n\
         module srtp.so\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n"
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
