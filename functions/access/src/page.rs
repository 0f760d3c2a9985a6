//! Lists that come whole from LiveKit, and go out in pages.

use crate::Fail;

/// The most things of a page, and the default.
pub const MAX_LIMIT: usize = 100;

/// A page of `all`, in the order of their keys, and the `cursor` of the next one. Keys are ids or names, each once.
///
/// # Errors
/// 400 when `limit` is not 1 to [`MAX_LIMIT`].
pub fn page<T>(
    mut all: Vec<T>,
    key: impl Fn(&T) -> &str,
    limit: Option<usize>,
    cursor: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Fail> {
    let limit = limit.unwrap_or(MAX_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Fail::invalid(
            "limit",
            "it is out of bounds",
            "set it to 1 to 100",
        ));
    }
    all.retain(|item| cursor.is_none_or(|cursor| key(item) > cursor));
    all.sort_by(|a, b| key(a).cmp(key(b)));
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|item| key(item).to_owned());
    Ok((all, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_everything_once_and_in_order() {
        let all = || vec!["d", "a", "c", "e", "b"];
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let (items, next) = page(all(), |item| *item, Some(2), cursor.as_deref()).unwrap();
            seen.extend(items);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
        let (items, next) = page(all(), |item| *item, None, None).unwrap();
        assert_eq!((items.len(), next), (5, None));
        for limit in [0, 101] {
            assert_eq!(
                page(all(), |item| *item, Some(limit), None).unwrap_err().reason(),
                "invalid"
            );
        }
    }
}
