//! Which trunk a call comes by, and whether the caller is who it says.

use bus::ioinfo::{SipCall, TrunkAuthentication};
use sip::digest::{Credentials, DEFAULT_REALM, Subject, Verdict};
use sip::{Invite, Rejection};

use super::Context;
use super::setup::Refused;

/// `SIPTrunkAuthenticationError`: over quota.
const OVER_QUOTA: i32 = 1;
/// `SIPTrunkAuthenticationError`: no trunk.
const NO_TRUNK: i32 = 2;

/// Asks LiveKit for the trunk, and the caller for its password where the trunk has one.
pub(super) async fn of(
    context: &Context,
    invite: &Invite,
    call: &SipCall,
) -> Result<TrunkAuthentication, Refused> {
    let trunk = context
        .bus
        .trunk_authentication(call.clone())
        .await
        .map_err(|error| {
            tracing::warn!(%error, "LiveKit did not say which trunk the call comes by");
            Refused::unavailable("trunk look-up failed")
        })?;
    match trunk.error_code {
        OVER_QUOTA => return Err(Refused::unavailable("over quota")),
        NO_TRUNK => return Err(Refused::new(404, "no trunk")),
        _ if trunk.drop => return Err(Refused::new(404, "dropped by the trunk")),
        _ => {}
    }
    if trunk.username.is_empty() || trunk.password.is_empty() {
        return Ok(trunk);
    }
    let realm = if trunk.realm.is_empty() {
        DEFAULT_REALM
    } else {
        trunk.realm.as_str()
    };
    let subject = Subject {
        call_id: &invite.call_id,
        source: invite.source.ip(),
        method: "INVITE",
    };
    let credentials = Credentials {
        username: &trunk.username,
        password: &trunk.password,
        realm,
    };
    let now = context.started.elapsed();
    match context
        .authenticator
        .verify(invite.header("Proxy-Authorization"), subject, credentials, now)
    {
        Verdict::Accepted => Ok(trunk),
        Verdict::Wrong => Err(Refused {
            rejection: Rejection::code(401),
            why: "wrong credentials",
        }),
        Verdict::Challenge => {
            let challenge = context.authenticator.challenge(subject, realm, now);
            let headers = vec![("Proxy-Authenticate".to_owned(), challenge)];
            Err(Refused {
                rejection: Rejection {
                    headers,
                    ..Rejection::code(407)
                },
                why: "challenged",
            })
        }
    }
}
