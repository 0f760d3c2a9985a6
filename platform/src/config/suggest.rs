/// The name that was probably meant: at most a third of it is different.
pub(super) fn closest<'a>(wrong: &str, names: &[&'a str]) -> Option<&'a str> {
    let wrong: Vec<char> = wrong.to_ascii_lowercase().replace('-', "_").chars().collect();
    names
        .iter()
        .map(|name| (distance(&wrong, &name.chars().collect::<Vec<_>>()), *name))
        .min()
        .filter(|(distance, name)| *distance * 3 <= name.len().max(3))
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out, changed or swapped with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&above, j) + usize::from(ca != cb);
            let mut least = changed.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(cb) && b.get(j - 1) == Some(ca);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let names = ["listen", "rtp_ports", "codecs", "no_agent_timeout"];
        for (wrong, meant) in [
            ("rtp_port", Some("rtp_ports")),
            ("rtp-ports", Some("rtp_ports")),
            ("lisetn", Some("listen")),
            ("Codecs", Some("codecs")),
            ("no_agent_time", Some("no_agent_timeout")),
            ("krisp", None),
            ("x", None),
        ] {
            assert_eq!(closest(wrong, &names), meant, "{wrong}");
        }
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        let of = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(
            [
                of("kitten", "sitting"),
                of("", "abc"),
                of("ab", "ba"),
                of("same", "same")
            ],
            [3, 3, 1, 0]
        );
    }
}
