//! The gateway's accounts, for `GET /health`.

use std::sync::{Arc, OnceLock};

use api::{Beside, Report};
use service::{Gateway, RegistrationHealth};

/// What is said of them once the gateway runs; nothing without accounts.
pub(crate) fn beside(gateway: &Arc<OnceLock<Arc<Gateway>>>) -> Beside {
    let gateway = Arc::clone(gateway);
    let remedy = "look at the lines of service::registrations in the log";
    Beside::new("registrations", remedy, move || {
        report(&gateway.get()?.registrations())
    })
}

fn report(all: &[RegistrationHealth]) -> Option<Report> {
    if all.is_empty() {
        return None;
    }
    let said = all.iter().map(
        |RegistrationHealth {
             name,
             is_registered,
             fault,
         }| {
            match (is_registered, fault) {
                (true, None) => format!("{name}: registered"),
                (true, Some(fault)) => format!("{name}: registered, not renewed: {fault}"),
                (false, Some(fault)) => format!("{name}: not registered: {fault}"),
                (false, None) => format!("{name}: not registered yet"),
            }
        },
    );
    let said: Vec<String> = said.collect();
    Some(Report {
        detail: said.join("; "),
        is_well: all.iter().all(|registration| registration.is_registered),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(name: &str, is_registered: bool, fault: Option<&str>) -> RegistrationHealth {
        RegistrationHealth {
            name: name.into(),
            is_registered,
            fault: fault.map(Into::into),
        }
    }

    #[test]
    fn each_account_is_named_and_all_of_them_must_stand() {
        assert_eq!(report(&[]), None);
        let main = health("main", true, Some("no answer"));
        let well = report(std::slice::from_ref(&main)).expect("an account");
        assert_eq!(
            (well.is_well, well.detail.as_str()),
            (true, "main: registered, not renewed: no answer")
        );
        let other = health("other", false, Some("refused with 403"));
        let ill = report(&[main, other, health("new", false, None)]).expect("accounts");
        assert!(!ill.is_well);
        assert!(
            ill.detail
                .ends_with("other: not registered: refused with 403; new: not registered yet")
        );
    }
}
