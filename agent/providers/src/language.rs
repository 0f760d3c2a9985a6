//! BCP 47 tags, as far as adapters need them.

/// The primary subtag in lower case: `en` of `en-US`.
pub(crate) fn primary(tag: &str) -> String {
    tag.split(['-', '_'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// Whether `tag` is `language` or one of its varieties.
pub(crate) fn is(tag: &str, language: &str) -> bool {
    primary(tag) == language
}

/// `name` without what does not belong in a message.
pub(crate) fn for_display(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '_'))
        .take(20)
        .collect()
}
