use std::collections::HashMap;

/// The lines on which the keys of a YAML text stand, found by their indentation.
///
/// The YAML parser does not tell. Block style, which is how people write configuration, is understood; what stands inside
/// `{…}` and `[…]` has the line of the key before it. A wrong guess costs a wrong line number in a report, nothing else.
#[derive(Debug, Default)]
pub struct Lines(HashMap<String, usize>);

impl Lines {
    /// Reads the text.
    pub fn of(text: &str) -> Self {
        let mut found = HashMap::new();
        let mut open: Vec<Open> = Vec::new();
        let mut block_scalar: Option<usize> = None;
        for (number, line) in text.lines().enumerate() {
            let mut rest = line.trim_start_matches(' ');
            let mut column = line.len() - rest.len();
            if rest.is_empty() || rest.starts_with('#') || block_scalar.is_some_and(|indent| column > indent)
            {
                continue;
            }
            block_scalar = None;
            while let Some(item) = rest.strip_prefix("- ").or_else(|| (rest == "-").then_some("")) {
                while open
                    .last()
                    .is_some_and(|o| o.column > column || (o.column == column && o.is_item))
                {
                    open.pop();
                }
                let path = open.last_mut().map(|parent| {
                    parent.items += 1;
                    format!("{}[{}]", parent.path, parent.items - 1)
                });
                let Some(path) = path else { break };
                found.entry(path.clone()).or_insert(number + 1);
                open.push(Open {
                    column,
                    path,
                    items: 0,
                    is_item: true,
                });
                let trimmed = item.trim_start_matches(' ');
                column += rest.len() - trimmed.len();
                rest = trimmed;
            }
            let Some((key, value)) = key_of(rest) else {
                continue;
            };
            while open.last().is_some_and(|o| o.column >= column) {
                open.pop();
            }
            let path = match open.last() {
                Some(parent) => format!("{}.{key}", parent.path),
                None => key.to_owned(),
            };
            found.entry(path.clone()).or_insert(number + 1);
            open.push(Open {
                column,
                path,
                items: 0,
                is_item: false,
            });
            if value.starts_with(['|', '>']) {
                block_scalar = Some(column);
            }
        }
        Self(found)
    }

    /// The line of the key (`sip.listen`, `agents[0].profile`), or of the nearest key that it is in. The first line is 1.
    pub fn line(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }
}

struct Open {
    column: usize,
    path: String,
    items: usize,
    is_item: bool,
}

/// `key:` or `key: value`.
fn key_of(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once(':')?;
    let key = key.trim_end().trim_matches(['"', '\'']);
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "-_. ".contains(c));
    (is_key && (value.is_empty() || value.starts_with(' '))).then_some((key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_maps_and_lists_are_found_and_the_rest_has_its_parents_line() {
        let lines = Lines::of(
            "# first\nlivekit:\n  url: ws://x   # 3\n  api_key: k\n\nagents:\n  - profile: a   # 7\n    numbers: [\"+1\", \"+2\"]\n  - numbers:\n      - \"+3\"\n    profile: b   # 11\ntext: |\n  url: no key\nkeys:\n- api_key: x   # 15\n- api_key: y\nlog:\n  level: info   # 18\n",
        );
        for (path, line) in [
            ("livekit", 2),
            ("livekit.url", 3),
            ("agents[0].profile", 7),
            ("agents[0].numbers[1]", 8),
            ("agents[1]", 9),
            ("agents[1].numbers[0]", 10),
            ("agents[1].profile", 11),
            ("text.url", 12),
            ("keys[0].api_key", 15),
            ("keys[1].api_key", 16),
            ("log.level", 18),
            ("livekit.missing", 2),
        ] {
            assert_eq!(lines.line(path), Some(line), "{path}");
        }
        assert_eq!(lines.line("nothing"), None);
    }
}
