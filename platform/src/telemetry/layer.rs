use std::{borrow::Cow, io::Write};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    Layer,
    fmt::MakeWriter,
    layer::Context,
    registry::{LookupSpan, Scope},
};

use super::{
    caps,
    line::{Fields, line},
};
use crate::{
    Secret,
    clock::{Clock, SystemClock},
    config::LogFormat,
    redact,
};

/// Shorter secrets would mask ordinary words.
const MIN_MASKED_CHARS: usize = 8;

/// What is masked in every text.
pub(super) struct Masks(Vec<Secret>);

impl Masks {
    pub(super) fn mask(&self, text: &str) -> String {
        let mut text = redact::mask(text);
        for secret in &self.0 {
            if text.contains(secret.expose()) {
                text = Cow::Owned(text.replace(secret.expose(), "[secret]"));
            }
        }
        text.into_owned()
    }
}

/// Writes each event as one line that holds the fields of its spans too.
pub(super) struct LineLayer<W> {
    format: LogFormat,
    masks: Masks,
    writer: W,
}

/// The fields of a span, masked, as they were when the span was made or recorded to last.
struct SpanFields(Map<String, Value>);

impl<W> LineLayer<W> {
    pub(super) fn new(format: LogFormat, secrets: &[Secret], writer: W) -> Self {
        let long_enough = |secret: &&Secret| secret.expose().chars().count() >= MIN_MASKED_CHARS;
        Self {
            format,
            masks: Masks(secrets.iter().filter(long_enough).cloned().collect()),
            writer,
        }
    }
}

impl<S, W> Layer<S> for LineLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut values = Map::new();
        let capped = caps::is_capped(attrs.metadata().target());
        attrs.record(&mut Fields {
            masks: &self.masks,
            values: &mut values,
            capped,
        });
        span.extensions_mut().insert(SpanFields(values));
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(SpanFields(values)) = span.extensions_mut().get_mut() {
            let capped = caps::is_capped(span.metadata().target());
            record.record(&mut Fields {
                masks: &self.masks,
                values,
                capped,
            });
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        // A record of the `log` crate has its real target in there.
        let normalized = event.normalized_metadata();
        let meta = normalized.as_ref().unwrap_or_else(|| event.metadata());
        if !caps::allows(meta.target(), *meta.level()) {
            return;
        }
        let mut fields = Map::new();
        for span in ctx.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(SpanFields(values)) = span.extensions().get() {
                fields.extend(values.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        let capped = caps::is_capped(meta.target());
        event.record(&mut Fields {
            masks: &self.masks,
            values: &mut fields,
            capped,
        });
        let message = fields.get("message").and_then(Value::as_str);
        if message.is_some_and(|message| caps::is_no_fault(meta.target(), message)) {
            return;
        }
        let line = line(
            self.format,
            SystemClock.now(),
            *meta.level(),
            meta.target(),
            fields,
        );
        // A log that cannot be written must not bring down calls.
        let _ = self
            .writer
            .make_writer_for(event.metadata())
            .write_all(line.as_bytes());
    }
}
