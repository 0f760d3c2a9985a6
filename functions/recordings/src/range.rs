//! `Range` of RFC 9110 §14.2: one part, in bytes. Several parts at once are answered with the whole, as the RFC allows.

use http::HeaderValue;

/// A part: never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) length: u64,
}

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    Part(Range),
    /// Nothing of the part is there.
    Beyond,
}

impl Wanted {
    /// Reads the header's value, for something that is `length` bytes long. What cannot be read counts as none.
    pub(crate) fn of(header: Option<&str>, length: u64) -> Self {
        let Some((first, last)) = header
            .and_then(|header| header.trim().strip_prefix("bytes="))
            .and_then(|part| part.split_once('-'))
        else {
            return Self::All;
        };
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        let (first, end) = match (first, number(first), last, number(last)) {
            ("", _, _, Some(suffix)) => (
                length.saturating_sub(suffix),
                if suffix == 0 { 0 } else { length },
            ),
            (_, Some(first), "", _) => (first, length),
            (_, Some(first), _, Some(last)) if first <= last => (first, last.saturating_add(1).min(length)),
            _ => return Self::All,
        };
        if first < end {
            Self::Part(Range {
                first,
                length: end - first,
            })
        } else {
            Self::Beyond
        }
    }
}

impl Range {
    /// `Content-Range` (RFC 9110 §14.4).
    pub(crate) fn header(self, length: u64) -> Option<HeaderValue> {
        let last = (self.first + self.length).checked_sub(1)?;
        HeaderValue::from_str(&format!("bytes {}-{last}/{length}", self.first)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_taken_and_what_is_none_is_passed_over() {
        let part = |first, length| Wanted::Part(Range { first, length });
        for (header, wanted) in [
            (None, Wanted::All),
            (Some("bytes=0-"), part(0, 100)),
            (Some("bytes=0-0"), part(0, 1)),
            (Some("bytes=10-19"), part(10, 10)),
            (Some("bytes=90-200"), part(90, 10)),
            (Some("bytes=-10"), part(90, 10)),
            (Some("bytes=-1000"), part(0, 100)),
            (Some("bytes=0-99999999999999999999"), part(0, 100)),
            (Some("bytes=100-"), Wanted::Beyond),
            (Some("bytes=100-200"), Wanted::Beyond),
            (Some("bytes=99999999999999999999-"), Wanted::Beyond),
            (Some("bytes=-0"), Wanted::Beyond),
            (Some("bytes=0-1,5-6"), Wanted::All),
            (Some("bytes=9-1"), Wanted::All),
            (Some("bytes=-"), Wanted::All),
            (Some("bytes=a-b"), Wanted::All),
            (Some("bytes=+1-2"), Wanted::All),
            (Some("lines=0-1"), Wanted::All),
            (Some(""), Wanted::All),
        ] {
            assert_eq!(Wanted::of(header, 100), wanted, "{header:?}");
        }
        assert_eq!(Wanted::of(Some("bytes=0-"), 0), Wanted::Beyond);
        let header = Range {
            first: 10,
            length: 10,
        }
        .header(100);
        assert_eq!(header.unwrap(), "bytes 10-19/100");
    }
}
