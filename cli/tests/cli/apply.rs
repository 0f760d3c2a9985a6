//! `trunkline apply` against a real livekit-server.

use std::{path::Path, process::Output};

use dev::{LocalStack, LocalStackConfig, Program};
use platform::{
    Secret,
    config::{ApiKey, LiveKitConfig},
    livekit::{LiveKit, ProtoDuration},
};
use serde_json::Value;

use crate::trunkline;

/// Every key that there is, in one file or the other.
pub(crate) const TELEPHONY: &str = r#"
trunks:
  inbound:
    - name: provider
      numbers: ["+15550100", "+15550101"]
      allowed_addresses: [198.51.100.0/24]
      allowed_numbers: ["+15550199"]
      auth: {username: caller, password: canary-inbound-password, realm: example.com}
      metadata: desk
      headers: {X-Key: canary-header}
      headers_to_attributes: {X-Tier: tier}
      attributes_to_headers: {tier: X-Tier}
      include_headers: x
      ringing_timeout: 20s
      max_call_duration: 1h
      media: {codecs: [PCMA, PCMU], only_listed_codecs: true, encryption: allow, timeout: 20s}
    - name: twilio
      provider: twilio
      numbers: ["+15550102"]
  outbound:
    - name: out
      provider: telnyx
      transport: tls
      numbers: ["+15550100"]
      auth: {username: caller, password: canary-outbound-password}
      from_host: sip.example.com
      destination_country: DE
      media: {encryption: require}
dispatch_rules:
  - name: desk
    trunks: [provider]
    room: call
    numbers: ["+15550100"]
    inbound_numbers: ["+15550199"]
    hide_phone_number: true
    metadata: desk
    attributes: {tier: gold}
    room_config: {empty_timeout: 30s, departure_timeout: 5s, max_participants: 4, metadata: desk, tags: {a: b}}
    media: {codecs: [PCMA]}
  - name: conference
    trunks: [twilio]
    kind: direct
    room: conference
"#;

/// A server, and a folder with a configuration for it.
pub(crate) struct Bench {
    stack: LocalStack,
    folder: tempfile::TempDir,
    pub(crate) livekit: LiveKit,
}

impl Bench {
    pub(crate) async fn new(telephony: &str) -> Self {
        Self::on(LocalStackConfig::default(), telephony).await
    }

    /// The same beside such servers.
    pub(crate) async fn on(stack: LocalStackConfig, telephony: &str) -> Self {
        platform::install_providers();
        let stack = LocalStack::start(stack).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (key, secret) = (stack.keys().api_key(), stack.keys().api_secret());
        let config = LiveKitConfig {
            url: stack.ws_url(),
            api_key: key.to_owned(),
            api_secret: Secret::new(secret),
            webhook_keys: Vec::<ApiKey>::new(),
        };
        let livekit = LiveKit::new(&config).unwrap();
        let bench = Self {
            stack,
            folder,
            livekit,
        };
        bench.write(telephony);
        bench
    }

    /// URL, key and secret.
    pub(crate) fn access(&self) -> (String, String, String) {
        let keys = self.stack.keys();
        (
            self.stack.ws_url(),
            keys.api_key().to_owned(),
            keys.api_secret().to_owned(),
        )
    }

    pub(crate) fn redis_url(&self) -> String {
        self.stack.redis_url()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn kill(&mut self, program: Program) {
        self.stack.kill(program).await.unwrap();
    }

    /// Another configuration as a whole.
    pub(crate) fn overwrite(&self, yaml: &str) {
        std::fs::write(self.folder.path().join("trunkline.yaml"), yaml).unwrap();
    }

    fn write(&self, telephony: &str) {
        let keys = self.stack.keys();
        let text = format!(
            "livekit: {{url: \"{}\", api_key: {}, api_secret: {}}}\n{telephony}",
            self.stack.ws_url(),
            keys.api_key(),
            keys.api_secret()
        );
        self.overwrite(&text);
    }

    /// Runs it beside the runtime, which the server's guards need.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let folder = self.folder.path().to_owned();
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        let output = tokio::task::spawn_blocking(move || run(&folder, &arguments))
            .await
            .unwrap();
        let told = format!(
            "{}{}",
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap()
        );
        eprintln!("{told}");
        let secret = self.stack.keys().api_secret();
        let is_shown = told.contains("canary") || told.contains(secret);
        assert!(!is_shown, "a secret is printed:\n{told}");
        (output.status.code(), told)
    }

    async fn apply(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let arguments: Vec<&str> = ["apply"].iter().chain(arguments).copied().collect();
        self.run(&arguments).await
    }

    async fn apply_json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let (code, told) = self.apply(&arguments).await;
        (code, serde_json::from_str(&told).unwrap())
    }
}

fn run(folder: &Path, arguments: &[String]) -> Output {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    trunkline(folder, &arguments)
}

/// `(kind, name, action)` of every object.
fn actions(told: &Value) -> Vec<(String, String, String)> {
    let text = |object: &Value, key: &str| object[key].as_str().unwrap().to_owned();
    let objects = told["objects"].as_array().unwrap().iter();
    objects
        .map(|object| (text(object, "kind"), text(object, "name"), text(object, "action")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_twice_changes_nothing_and_a_change_behind_its_back_is_shown_and_undone() {
    let bench = Bench::new(TELEPHONY).await;
    let (code, told) = bench.apply(&["--dry-run"]).await;
    assert_eq!(code, Some(2), "{told}");
    assert!(bench.livekit.list_sip_inbound_trunks().await.unwrap().is_empty());

    let (code, told) = bench.apply(&[]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Done: 5 made."), "{told}");
    let out = bench.livekit.list_sip_outbound_trunks().await.unwrap().remove(0);
    let idle = format!("calls.trunks does not list {}", out.sip_trunk_id);
    assert!(told.contains(&idle), "{told}");
    let (code, told) = bench.apply_json(&[]).await;
    assert_eq!((code, &told["changes"]), (Some(0), &0.into()), "{told:#}");
    let (code, told) = bench.apply(&["--dry-run"]).await;
    assert_eq!(code, Some(0), "{told}");

    // The server has what the file says, the password and the preset's networks too.
    let trunks = bench.livekit.list_sip_inbound_trunks().await.unwrap();
    let provider = trunks.iter().find(|trunk| trunk.name == "provider").unwrap();
    assert_eq!(provider.auth_password, "canary-inbound-password");
    let twilio = trunks.iter().find(|trunk| trunk.name == "twilio").unwrap();
    assert!(
        twilio.allowed_addresses.contains(&"35.156.191.128/30".to_owned()),
        "the preset's"
    );
    let rules = bench.livekit.list_sip_dispatch_rules().await.unwrap();
    let desk = rules.iter().find(|rule| rule.name == "desk").unwrap();
    assert_eq!(desk.trunk_ids, std::slice::from_ref(&provider.sip_trunk_id));

    let mut changed = provider.clone();
    changed.ringing_timeout = Some(ProtoDuration { seconds: 5, nanos: 0 });
    changed.auth_password = "canary-of-somebody-else".to_owned();
    let id = provider.sip_trunk_id.clone();
    bench
        .livekit
        .replace_sip_inbound_trunk(&id, changed)
        .await
        .unwrap();
    let (code, told) = bench.apply_json(&["--dry-run"]).await;
    assert_eq!((code, &told["changes"]), (Some(2), &1.into()), "{told:#}");
    let fields = &told["objects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|object| object["action"] == "replace")
        .unwrap()["fields"];
    let expected = serde_json::json!([
        {"field": "auth_password", "from": "(hidden)", "to": "(hidden)"},
        {"field": "ringing_timeout", "from": "5s", "to": "20s"},
    ]);
    assert_eq!(fields, &expected);
    let (_, told) = bench.apply(&[]).await;
    assert!(told.contains("5s → 20s") && told.contains("not shown"), "{told}");
    let (_, told) = bench.apply_json(&[]).await;
    assert_eq!(told["changes"], 0, "{told:#}");
    let trunks = bench.livekit.list_sip_inbound_trunks().await.unwrap();
    assert!(
        trunks.iter().any(|trunk| trunk.sip_trunk_id == id),
        "replaced in its place"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_does_not_name_stays_unless_pruning_is_asked_for() {
    let bench = Bench::new(TELEPHONY).await;
    let (code, told) = bench.apply(&[]).await;
    assert_eq!(code, Some(0), "{told}");
    bench.write(
        "trunks: {inbound: [{name: other, numbers: ['+15550102'], allowed_addresses: [198.51.100.7]}]}\n\
         dispatch_rules: [{name: desk, trunks: [other], room: call}]\n",
    );
    let (code, told) = bench.apply_json(&["--dry-run", "--prune"]).await;
    assert_eq!(code, Some(2));
    let expected = [
        ("dispatch_rule", "conference", "delete"),
        ("inbound_trunk", "provider", "delete"),
        ("inbound_trunk", "twilio", "delete"),
        ("outbound_trunk", "out", "delete"),
        ("inbound_trunk", "other", "create"),
        ("dispatch_rule", "desk", "replace"),
    ];
    let expected = expected.map(|(kind, name, action)| (kind.to_owned(), name.to_owned(), action.to_owned()));
    let mut found = actions(&told);
    found[..4].sort();
    let mut sorted = expected.clone();
    sorted[..4].sort();
    assert_eq!(found, sorted);

    let (code, told) = bench.apply_json(&["--prune"]).await;
    assert_eq!((code, &told["done"]), (Some(0), &6.into()), "{told:#}");
    let trunks = bench.livekit.list_sip_inbound_trunks().await.unwrap();
    let names: Vec<&str> = trunks.iter().map(|trunk| trunk.name.as_str()).collect();
    assert_eq!(names, ["other"]);
    let made = told["objects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|object| object["name"] == "other");
    assert_eq!(made.unwrap()["id"], *trunks[0].sip_trunk_id, "{told:#}");
    // Without it a stranger is shown, and left.
    bench.write("trunks: {outbound: [{name: out, address: sip.example.com, numbers: ['*']}]}\n");
    let (code, told) = bench.apply(&[]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("left alone, --prune removes it"), "{told}");
    assert_eq!(bench.livekit.list_sip_inbound_trunks().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_trunk_is_refused_unless_it_is_said() {
    const OPEN: &str = "trunks: {inbound: [{name: a, numbers: ['+15550100']OPEN}]}\n";
    let bench = Bench::new(&OPEN.replace("OPEN", ", allowed_addresses: [0.0.0.0/0]")).await;
    let (code, told) = bench.apply(&[]).await;
    assert_eq!(code, Some(64), "{told}");
    assert!(
        told.contains("trunks.inbound[0].allowed_addresses") && told.contains("open: true"),
        "{told}"
    );
    assert!(bench.livekit.list_sip_inbound_trunks().await.unwrap().is_empty());
    bench.write(&OPEN.replace("OPEN", ", open: true"));
    let (code, told) = bench.apply(&[]).await;
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("trunkline.yaml"),
        "livekit: {url: 'ws://127.0.0.1:1', api_key: key, api_secret: 0123456789abcdef0123456789abcdef}\n\
         trunks: {outbound: [{name: out, address: sip.example.com, numbers: ['*']}]}\n",
    )
    .unwrap();
    let output = trunkline(folder.path(), &["apply"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("check livekit.url"), "{told}");
}
