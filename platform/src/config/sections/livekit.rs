use super::not_empty;
use crate::config::{
    reader::{Context, Section, parsed},
    types::{ApiKey, LiveKitConfig},
    values::url,
};

pub(super) fn livekit(cx: &Context<'_>, mut section: Section<'_>) -> Option<LiveKitConfig> {
    let url = match section.raw("url", &["LIVEKIT_URL"]) {
        Some(found) => parsed(cx, &found, url("wss", "ws")),
        None => Some("ws://127.0.0.1:7880".to_owned()),
    };
    let remedy = "set it to a key of the LiveKit server's `keys:`";
    let api_key = section.required("api_key", &["LIVEKIT_API_KEY"], remedy, not_empty);
    let api_secret = section.signing_secret("api_secret", &["LIVEKIT_API_SECRET"]);
    let webhook_keys = section.list("webhook_keys").map(|items| {
        items
            .into_iter()
            .filter_map(|(path, item)| webhook_key(Section::of(cx, path, item)))
            .collect::<Vec<_>>()
    });
    section.finish();
    let (url, api_key, api_secret) = (url?, api_key?, api_secret?);
    let webhook_keys = webhook_keys.filter(|keys| !keys.is_empty()).unwrap_or_else(|| {
        vec![ApiKey {
            api_key: api_key.clone(),
            api_secret: api_secret.clone(),
        }]
    });
    Some(LiveKitConfig {
        url,
        api_key,
        api_secret,
        webhook_keys,
    })
}

fn webhook_key(mut section: Section<'_>) -> Option<ApiKey> {
    let api_key = section.required(
        "api_key",
        &[],
        "set it to the server's `webhook.api_key`",
        not_empty,
    );
    let api_secret = section.signing_secret("api_secret", &[]);
    section.finish();
    Some(ApiKey {
        api_key: api_key?,
        api_secret: api_secret?,
    })
}
