//! How old an object is, by S3's own clock: the `Date` of the answer against its `Last-Modified`.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
    primitives::{DateTime, DateTimeFormat},
};
use parking_lot::Mutex;

use crate::store::Age;

/// Both are cut to whole seconds (RFC 9110 §5.6.7), so that their difference is less than one off either way.
const ROUNDING: Duration = Duration::from_secs(1);
/// How far the bounds of an age lie apart.
pub(super) const SLACK: Duration = Duration::from_secs(2);

/// Keeps the `Date` of the answer, which the SDK does not hand on.
#[derive(Debug, Clone, Default)]
pub(super) struct AnsweredAt(Arc<Mutex<Option<DateTime>>>);

impl Intercept for AnsweredAt {
    fn name(&self) -> &'static str {
        "AnsweredAt"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        *self.0.lock() = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        Ok(())
    }
}

impl AnsweredAt {
    /// The age of what was written then; unknown where the server told no times.
    pub(super) fn age_of(&self, written: Option<DateTime>) -> Age {
        match (written, *self.0.lock()) {
            (Some(written), Some(answered)) => age(written.secs(), answered.secs()),
            _ => Age::UNKNOWN,
        }
    }
}

fn age(written_s: i64, answered_s: i64) -> Age {
    let age = u64::try_from(answered_s.saturating_sub(written_s)).unwrap_or(0);
    let age = Duration::from_secs(age);
    Age {
        at_least: age.saturating_sub(ROUNDING),
        at_most: age + ROUNDING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_leave_one_either_way() {
        let span = |written, answered| {
            let age = age(written, answered);
            (age.at_least.as_secs(), age.at_most.as_secs())
        };
        assert_eq!(span(100, 100), (0, 1));
        assert_eq!(span(100, 109), (8, 10));
        // Two servers behind one name.
        assert_eq!(span(101, 100), (0, 1));
    }

    #[test]
    fn without_a_time_the_age_is_not_known() {
        let answered = AnsweredAt::default();
        assert_eq!(answered.age_of(Some(DateTime::from_secs(1))), Age::UNKNOWN);
        *answered.0.lock() = Some(DateTime::from_secs(1));
        assert_eq!(answered.age_of(None), Age::UNKNOWN);
    }
}
