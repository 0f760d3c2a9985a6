//! Attempts to get more than the caller may have.

use serde_json::json;

use crate::endpoint::{BARE, FREE, READER, ask, offline};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn every_escalation_is_refused_with_the_name_of_its_field() {
    let long = "x".repeat(300);
    let many: serde_json::Map<_, _> = (0..40).map(|at| (format!("a{at}"), json!("x"))).collect();
    let table = [
        // More than the grants.
        (FREE, json!({"video": {"roomAdmin": true}}), 400, "video"),
        (FREE, json!({"grants": {"roomCreate": true}}), 400, "grants"),
        (FREE, json!({"kind": "agent"}), 400, "kind"),
        (FREE, json!({"hidden": true}), 400, "hidden"),
        (FREE, json!({"recorder": true}), 400, "recorder"),
        (FREE, json!({"sip": {"admin": true, "call": true}}), 400, "sip"),
        (FREE, json!({"ttl": "24h"}), 400, "ttl"),
        (FREE, json!({"exp": 9_999_999_999_u64}), 400, "exp"),
        (
            FREE,
            json!({"can_publish_sources": ["camera"]}),
            400,
            "can_publish_sources",
        ),
        // Other rooms.
        (FREE, json!({"room_name": "sales-1"}), 403, "room_name"),
        (FREE, json!({"room_name": "*"}), 403, "room_name"),
        (FREE, json!({"room_name": "../web-1"}), 403, "room_name"),
        (FREE, json!({"room_name": "web-\u{0}"}), 400, "room_name"),
        (
            FREE,
            json!({"room_name": format!("web-{long}")}),
            400,
            "room_name",
        ),
        // Other people.
        (
            BARE,
            json!({"participant_identity": "ann"}),
            403,
            "participant_identity",
        ),
        (
            FREE,
            json!({"participant_identity": "agent-RM_1"}),
            403,
            "participant_identity",
        ),
        (
            FREE,
            json!({"participant_identity": "sip_15550100"}),
            403,
            "participant_identity",
        ),
        (
            FREE,
            json!({"participant_identity": "phone-1"}),
            403,
            "participant_identity",
        ),
        (
            FREE,
            json!({"participant_identity": "EG_abc"}),
            403,
            "participant_identity",
        ),
        (
            FREE,
            json!({"participant_identity": "IN_abc"}),
            403,
            "participant_identity",
        ),
        (
            FREE,
            json!({"participant_identity": " sip_1"}),
            400,
            "participant_identity",
        ),
        (
            FREE,
            json!({"participant_identity": "\u{200b}sip_1"}),
            400,
            "participant_identity",
        ),
        (
            FREE,
            json!({"participant_identity": "ａgent-1"}),
            400,
            "participant_identity",
        ),
        (
            BARE,
            json!({"participant_name": "Support"}),
            403,
            "participant_name",
        ),
        (
            BARE,
            json!({"participant_metadata": "x"}),
            403,
            "participant_metadata",
        ),
        // Attributes that others believe in.
        (
            FREE,
            json!({"participant_attributes": {"sip.phoneNumber": "+1"}}),
            403,
            "participant_attributes.sip.phoneNumber",
        ),
        (
            FREE,
            json!({"participant_attributes": {"SIP.callStatus": "active"}}),
            403,
            "participant_attributes.SIP.callStatus",
        ),
        (
            FREE,
            json!({"participant_attributes": {"lk.agent.state": "x"}}),
            403,
            "participant_attributes.lk.agent.state",
        ),
        (
            FREE,
            json!({"participant_attributes": {"trunkline.end": "x"}}),
            403,
            "participant_attributes.trunkline.end",
        ),
        (
            FREE,
            json!({"participant_attributes": {"role": "admin"}}),
            403,
            "participant_attributes.role",
        ),
        (
            FREE,
            json!({"participant_attributes": many}),
            400,
            "participant_attributes",
        ),
        (
            BARE,
            json!({"participant_attributes": {"tier": "gold"}}),
            403,
            "participant_attributes.tier",
        ),
        // The room's own settings.
        (
            FREE,
            json!({"room_config": {"egress": {"room": {}}}}),
            403,
            "room_config.egress",
        ),
        (
            FREE,
            json!({"room_config": {"name": "preset"}}),
            403,
            "room_config.name",
        ),
        (
            FREE,
            json!({"room_config": {"tags": {"a": "b"}}}),
            403,
            "room_config.tags",
        ),
        (
            FREE,
            json!({"room_config": {"sync_streams": true}}),
            403,
            "room_config.sync_streams",
        ),
        (
            FREE,
            json!({"room_config": {"empty_timeout": 999_999}}),
            400,
            "room_config.empty_timeout",
        ),
        (
            BARE,
            json!({"room_config": {"max_participants": 9}}),
            403,
            "room_config.max_participants",
        ),
        (
            BARE,
            json!({"room_config": {"metadata": "x"}}),
            403,
            "room_config.metadata",
        ),
        (
            FREE,
            json!({"room_config": {"agents": [{"agent_name": "spy"}]}}),
            403,
            "room_config.agents[0].agent_name",
        ),
        (
            BARE,
            json!({"room_config": {"agents": [{"agent_name": "greeter"}]}}),
            403,
            "room_config.agents[0].agent_name",
        ),
        (
            FREE,
            json!({"room_config": {"agents": [{}]}}),
            403,
            "room_config.agents[0].agent_name",
        ),
        (FREE, json!({"room_config": {"webhooks": []}}), 400, "webhooks"),
        // Another scope, no key.
        (READER, json!({}), 403, "Authorization"),
        ("none", json!({}), 401, "Authorization"),
    ];
    assert!(table.len() >= 30);
    for (key, body, status, field) in table {
        let (answered, problem) = ask(offline(), key, &body).await;
        assert_eq!(
            (answered.as_u16(), &problem["field"]),
            (status, &json!(field)),
            "{body}: {problem}"
        );
        assert!(problem["participant_token"].is_null() && problem["remedy"].is_string());
    }
}
