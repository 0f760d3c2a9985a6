//! `sip_trunks` and `routing`.

use serde_json::json;

use super::{Section, Value, older::Older};

/// What rules must know of an inbound trunk.
pub(super) struct Inbound {
    name: String,
    numbers: Vec<String>,
}

/// The trunks; what came in is given back.
pub(super) fn trunks(older: &mut Older, new: &mut Section) -> Vec<Inbound> {
    let mut known = Vec::new();
    let (mut inbound_trunks, mut outbound_trunks) = (Vec::new(), Vec::new());
    let count = older.count("sip_trunks");
    let directions: Vec<(bool, bool)> = (0..count)
        .map(|at| {
            let mut is =
                |key: &str| older.text(&format!("sip_trunks[{at}].{key}")).as_deref() == Some("true");
            (is("inbound_only"), is("outbound_only"))
        })
        .collect();
    for (at, (_, is_out_only)) in directions.iter().enumerate() {
        if !is_out_only {
            inbound_trunks.push(inbound(older, &format!("sip_trunks[{at}]"), at, &mut known).into());
        }
    }
    for (at, (is_in_only, _)) in directions.iter().enumerate() {
        if !is_in_only {
            outbound_trunks.push(outbound(older, &format!("sip_trunks[{at}]"), at, &known).into());
        }
    }
    let mut section = Section::default();
    section.set_list("inbound", inbound_trunks);
    section.set_list("outbound", outbound_trunks);
    if !section.0.is_empty() {
        new.set("trunks", section);
    }
    known
}

fn inbound(older: &mut Older, path: &str, at: usize, known: &mut Vec<Inbound>) -> Section {
    let mut trunk = Section::default();
    let name = name(older, path, &format!("inbound-{at}"));
    trunk.set("name", name.as_str());
    let numbers = numbers(older, &format!("{path}.numbers"));
    trunk.set_list(
        "numbers",
        numbers.iter().map(|number| number.as_str().into()).collect(),
    );
    let addresses_at = format!("{path}.allowed_addresses");
    let addresses = older.texts(&addresses_at);
    let is_anywhere = addresses.is_empty() || addresses.iter().any(|network| network.ends_with("/0"));
    let addresses = addresses.into_iter().map(Value::from).collect();
    trunk.set_list("allowed_addresses", addresses);
    let wants_auth = older.text(&format!("{path}.auth_required")).as_deref() == Some("true");
    let has_auth = wants_auth && auth(older, path, &mut trunk);
    if wants_auth && !has_auth {
        older.warn(
            &format!("{path}.auth_required"),
            "no user and password stand beside it: set auth",
        );
    }
    if is_anywhere && !has_auth {
        trunk.set("open", true);
        older.warn(
            &addresses_at,
            "whoever reaches the SIP port can call in, as before, which open: true says now; name the provider's addresses, or set auth, and take it out",
        );
    }
    known.push(Inbound { name, numbers });
    trunk
}

fn outbound(older: &mut Older, path: &str, at: usize, inbound: &[Inbound]) -> Section {
    let mut trunk = Section::default();
    let name = name(older, path, &format!("outbound-{at}"));
    trunk.set("name", name);
    let host = older.text(&format!("{path}.host")).unwrap_or_default();
    let port = older.text(&format!("{path}.port"));
    trunk.set(
        "address",
        port.map_or(host.clone(), |port| format!("{host}:{port}")),
    );
    trunk.set_some("transport", older.text(&format!("{path}.transport")));
    let numbers_at = format!("{path}.numbers");
    let mut own = numbers(older, &numbers_at);
    if own.is_empty() {
        own = inbound
            .first()
            .map(|trunk| trunk.numbers.clone())
            .unwrap_or_default();
        older.note(
            &format!("{path}.host"),
            "LiveKit wants the numbers that a trunk calls from: those of the first inbound trunk are taken",
        );
    }
    trunk.set_list("numbers", own.into_iter().map(Value::from).collect());
    auth(older, path, &mut trunk);
    trunk
}

fn name(older: &mut Older, path: &str, otherwise: &str) -> String {
    older
        .text(&format!("{path}.name"))
        .unwrap_or_else(|| otherwise.to_owned())
}

fn auth(older: &mut Older, path: &str, trunk: &mut Section) -> bool {
    let user = older.text(&format!("{path}.auth_username"));
    let password = older.text(&format!("{path}.auth_password"));
    let (Some(user), Some(password)) = (user, password) else {
        return false;
    };
    let mut auth = Section::default();
    auth.set("username", user);
    auth.set("password", password);
    trunk.set("auth", auth);
    true
}

/// LiveKit adds a missing `+` to a trunk's numbers: the same number with it says nothing more.
fn numbers(older: &mut Older, path: &str) -> Vec<String> {
    let all = older.texts(path);
    let is_double = |number: &String| {
        number
            .strip_prefix('+')
            .is_some_and(|bare| all.iter().any(|other| other == bare))
    };
    let (double, kept): (Vec<(usize, &String)>, Vec<_>) =
        all.iter().enumerate().partition(|(_, number)| is_double(number));
    let kept = kept.into_iter().map(|(_, number)| number.clone()).collect();
    for (at, _) in double {
        older.note(
            &format!("{path}[{at}]"),
            "LiveKit adds a missing + itself: the same number stands there already",
        );
    }
    kept
}

/// The dispatch rules.
pub(super) fn rules(older: &mut Older, trunks: &[Inbound], new: &mut Section) {
    let count = older.count("routing.inbound_rules");
    let rules = (0..count).map(|at| rule(older, &format!("routing.inbound_rules[{at}]"), at, trunks).into());
    let rules = rules.collect();
    new.set_list("dispatch_rules", rules);
}

fn rule(older: &mut Older, path: &str, at: usize, trunks: &[Inbound]) -> Section {
    let mut rule = Section::default();
    rule.set("name", name(older, path, &format!("rule-{at}")));
    let called = older.text(&format!("{path}.match.to"));
    let bare = |number: &str| number.trim_start_matches('+').to_owned();
    let serves = |trunk: &&Inbound| {
        let called = called.as_deref().map(bare);
        called.is_some_and(|called| trunk.numbers.iter().any(|number| bare(number) == called))
    };
    let mut own: Vec<&Inbound> = trunks.iter().filter(serves).collect();
    // A trunk that has this number alone says it already, and a rule compares numbers letter by letter.
    let is_said = !own.is_empty() && own.iter().all(|trunk| trunk.numbers.len() == 1);
    if own.is_empty() {
        own = trunks.iter().collect();
    }
    let names: Vec<Value> = own.iter().map(|trunk| trunk.name.as_str().into()).collect();
    if names.is_empty() {
        rule.set("any_trunk", true);
        older.warn(
            path,
            "the file has no inbound trunk: the rule takes calls from anywhere; make a trunk, and name it in trunks",
        );
    }
    rule.set_list("trunks", names);
    match called {
        Some(_) if is_said => older.note(
            &format!("{path}.match.to"),
            "the rule's trunk takes this number alone: that says it",
        ),
        Some(called) => rule.set_list("numbers", vec![called.into()]),
        None => {}
    }
    room(older, path, &mut rule);
    rule
}

/// The older templates, as far as LiveKit can name rooms.
fn room(older: &mut Older, path: &str, rule: &mut Section) {
    let kind_at = format!("{path}.action.type");
    if let Some(kind) = older.text(&kind_at).filter(|kind| kind != "livekit_room") {
        older.warn(
            &kind_at,
            format!("{kind} is nothing that a dispatch rule does: a room is made all the same"),
        );
    }
    let template_at = format!("{path}.action.room_name_template");
    let template = older.text(&template_at).unwrap_or_else(|| "call".to_owned());
    // `${NAME}` is a variable, `{name}` a template.
    let begins = template.char_indices().find(|(at, letter)| {
        *letter == '{' && !template.get(..*at).is_some_and(|before| before.ends_with('$'))
    });
    if let Some((at, _)) = begins {
        let prefix = template
            .get(..at)
            .unwrap_or_default()
            .trim_end_matches(['-', '_']);
        let prefix = if prefix.is_empty() { "call" } else { prefix };
        rule.set("kind", "individual");
        rule.set("room", prefix);
        older.note(
            &template_at,
            format!(
                "LiveKit fills in no templates: the rooms are called {prefix}_<caller>_<random>, and a call's id is its room's sid"
            ),
        );
    } else {
        rule.set("kind", "direct");
        rule.set("room", template);
    }
    for (key, says) in [
        (
            "participant_name",
            "LiveKit names the caller's participant `Phone <number>`",
        ),
        (
            "participant_identity",
            "LiveKit gives the caller's participant the identity `sip_<number>`; the number alone is its attribute sip.phoneNumber",
        ),
    ] {
        let at = format!("{path}.action.{key}");
        if older.text(&at).is_some() {
            older.note(&at, says);
        }
    }
    metadata(older, &format!("{path}.action.room_metadata"), rule);
}

/// Metadata is one text for LiveKit: an object in JSON.
fn metadata(older: &mut Older, path: &str, rule: &mut Section) {
    let mut kept = serde_json::Map::new();
    for key in older.keys(path) {
        let at = format!("{path}.{key}");
        let Some(value) = older.text(&at) else { continue };
        if value.replace("${", "").contains('{') {
            let says = match value.as_str() {
                "{timestamp}" => "LiveKit fills in no templates; a room tells when it was made",
                _ => "LiveKit fills in no templates: left out",
            };
            older.note(&at, says);
        } else {
            kept.insert(key, json!(value));
        }
    }
    if !kept.is_empty() {
        let mut room = Section::default();
        room.set("metadata", serde_json::Value::Object(kept).to_string());
        rule.set("room_config", room);
    }
}
