//! The names of a stream's segments, and what they add up to.
//!
//! Until it is finished, a stream lies beside the objects, under `.trunkline/streams/<key>/`:
//!
//! - `<ordinal>-<offset>.open`: a stream was opened, at this offset of the object. Streams of one key are numbered.
//! - `<ordinal>-<offset>.part`: bytes of that stream, from this offset of the object on.
//!
//! A stream counts up to where the next one began: a writer that lost its call and still writes cannot get between.

/// All streams are under it. No key begins with a dot, so it hides behind none.
pub(super) const STREAMS: &str = ".trunkline/streams/";
/// What internal objects are under.
pub(super) const INTERNAL: &str = ".trunkline/";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Part { length: u64 },
}

/// One object beside the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) ordinal: u32,
    pub(super) offset: u64,
    pub(super) kind: Kind,
}

pub(super) fn open_name(ordinal: u32, offset: u64) -> String {
    format!("{ordinal:06}-{offset:015}.open")
}

pub(super) fn part_name(ordinal: u32, offset: u64) -> String {
    format!("{ordinal:06}-{offset:015}.part")
}

impl Segment {
    /// `None` for a name that is none of ours.
    pub(super) fn parse(name: &str, length: u64) -> Option<Self> {
        let (numbers, ending) = name.split_once('.')?;
        let (ordinal, offset) = numbers.split_once('-')?;
        let kind = match ending {
            "open" => Kind::Open,
            "part" => Kind::Part { length },
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            ordinal: ordinal.parse().ok()?,
            offset: offset.parse().ok()?,
            kind,
        })
    }
}

/// Bytes of one segment, behind those that are already there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) name: String,
    pub(super) skip: u64,
    pub(super) take: u64,
}

/// What goes behind an object of `base` bytes, and where it then ends. Stops at the first gap.
pub(super) fn pieces(base: u64, segments: &[Segment]) -> (Vec<Piece>, u64) {
    let mut sorted: Vec<&Segment> = segments.iter().collect();
    sorted.sort_by_key(|segment| (segment.ordinal, segment.offset));
    let mut found = Vec::new();
    let mut end = base;
    for segment in sorted {
        let Kind::Part { length } = segment.kind else {
            continue;
        };
        let until = next_start(segment.ordinal, segments).unwrap_or(u64::MAX);
        let segment_end = segment.offset.saturating_add(length).min(until);
        if segment.offset > end || segment_end <= end {
            continue;
        }
        found.push(Piece {
            name: segment.name.clone(),
            skip: end - segment.offset,
            take: segment_end - end,
        });
        end = segment_end;
    }
    (found, end)
}

/// Where the next stream after `ordinal` began.
fn next_start(ordinal: u32, segments: &[Segment]) -> Option<u64> {
    let later = || segments.iter().filter(|segment| segment.ordinal > ordinal);
    let next = later().map(|segment| segment.ordinal).min()?;
    later()
        .filter(|segment| segment.ordinal == next)
        .map(|segment| segment.offset)
        .min()
}

/// The highest number of a stream; 0 when there is none.
pub(super) fn newest(segments: &[Segment]) -> u32 {
    segments.iter().map(|segment| segment.ordinal).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(ordinal: u32, offset: u64) -> Segment {
        Segment::parse(&open_name(ordinal, offset), 0).unwrap()
    }

    fn part(ordinal: u32, offset: u64, length: u64) -> Segment {
        Segment::parse(&part_name(ordinal, offset), length).unwrap()
    }

    fn taken(base: u64, segments: &[Segment]) -> (Vec<(u32, u64, u64)>, u64) {
        let (pieces, end) = pieces(base, segments);
        let of = |piece: &Piece| {
            let segment = Segment::parse(&piece.name, 0).unwrap();
            (segment.ordinal, segment.offset + piece.skip, piece.take)
        };
        (pieces.iter().map(of).collect(), end)
    }

    #[test]
    fn names_sort_as_their_numbers_and_others_are_none() {
        assert!(part_name(2, 9) < part_name(2, 10) && part_name(2, 10) < part_name(10, 0));
        for name in ["", "x", "1-2", "a-0.part", "1-0.other", "1.part"] {
            assert_eq!(Segment::parse(name, 0), None, "{name}");
        }
    }

    #[test]
    fn segments_follow_each_other_across_streams() {
        let all = [
            open(1, 0),
            part(1, 0, 100),
            part(1, 100, 50),
            open(2, 150),
            part(2, 150, 5),
        ];
        assert_eq!(
            taken(0, &all),
            (vec![(1, 0, 100), (1, 100, 50), (2, 150, 5)], 155)
        );
        assert_eq!(
            taken(120, &all),
            (vec![(1, 120, 30), (2, 150, 5)], 155),
            "a part was merged before"
        );
        assert_eq!(taken(155, &all), (vec![], 155));
        assert_eq!(newest(&all), 2);
    }

    #[test]
    fn a_writer_that_was_succeeded_adds_nothing() {
        let all = [part(1, 0, 100), open(2, 100), part(1, 100, 40), part(2, 100, 7)];
        assert_eq!(taken(0, &all), (vec![(1, 0, 100), (2, 100, 7)], 107));
        // Its segment reaches over the beginning of the next stream.
        assert_eq!(
            taken(0, &[part(1, 0, 130), open(2, 100)]),
            (vec![(1, 0, 100)], 100)
        );
    }

    #[test]
    fn nothing_is_taken_behind_a_gap() {
        assert_eq!(
            taken(0, &[part(1, 0, 10), part(1, 20, 10)]),
            (vec![(1, 0, 10)], 10)
        );
    }

    proptest! {
        #[test]
        fn pieces_are_without_gaps_and_overlaps(
            base in 0_u64..50,
            parts in prop::collection::vec((1_u32..4, 0_u64..100, 1_u64..40), 0..12),
        ) {
            let all: Vec<Segment> = parts.iter().map(|(o, at, length)| part(*o, *at, *length)).collect();
            let (pieces, end) = taken(base, &all);
            let mut at = base;
            for (_, from, take) in pieces {
                prop_assert!(from == at && take > 0);
                at += take;
            }
            prop_assert_eq!(at, end);
        }
    }
}
