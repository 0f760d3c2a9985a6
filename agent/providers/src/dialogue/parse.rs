//! Reads a dialogue, and finds all that is wrong with it in one go.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_norway::Value;

use super::{Action, Dialogue, Intent, section::Section, words};
use crate::{Fault, Faults, template};

const MAX_INTENTS: usize = 500;
const MAX_PHRASE_WORDS: usize = 30;
const MAX_WORD_DELAY_MS: u64 = 2_000;

pub(super) fn dialogue(yaml: &str) -> Result<Dialogue, Faults> {
    let unreadable = |problem: String, remedy| Faults(vec![Fault::new("", problem, remedy)]);
    let root = match serde_norway::from_str(yaml) {
        Ok(Value::Mapping(root)) => root,
        Ok(_) => {
            return Err(unreadable(
                "is not a mapping".into(),
                "write `intents:` and `fallback:`",
            ));
        }
        Err(error) => return Err(unreadable(format!("is not YAML: {error}"), "mend the line named")),
    };
    let mut faults = Vec::new();
    let mut section = Section::new(String::new(), root, &mut faults);
    let variables = variables(&mut section);
    let has_fallback = section.has("fallback");
    let fallback = replies(&mut section, "fallback", &variables);
    if !has_fallback {
        section.fault(
            "fallback",
            "is missing",
            "write what is said when nothing was understood",
        );
    }
    let word_delay = word_delay(&mut section);
    let intents = section.take("intents");
    section.finish();
    let intents = read_intents(intents, &variables, &mut faults);
    find_contradictions(&intents, &mut faults);
    Faults::or(
        faults,
        Dialogue {
            intents,
            fallback,
            word_delay,
        },
    )
}

fn variables(section: &mut Section<'_>) -> BTreeMap<String, String> {
    match section.take("variables") {
        None => BTreeMap::new(),
        Some(Value::Mapping(mapping)) => {
            let mut variables = BTreeMap::new();
            for (key, value) in &mapping {
                match (key.as_str(), value.as_str()) {
                    (Some(key), Some(value)) => drop(variables.insert(key.to_owned(), value.to_owned())),
                    (key, _) => {
                        let key = format!("variables.{}", key.unwrap_or("(a key that is no text)"));
                        section.fault(&key, "is not a text", "put it in quotes");
                    }
                }
            }
            variables
        }
        Some(_) => {
            section.fault(
                "variables",
                "is not a section",
                "indent `name: text` lines under it",
            );
            BTreeMap::new()
        }
    }
}

fn word_delay(section: &mut Section<'_>) -> Duration {
    let Some(value) = section.take("word_delay_ms") else {
        return Duration::ZERO;
    };
    let delay = value.as_u64().filter(|delay| *delay <= MAX_WORD_DELAY_MS);
    if delay.is_none() {
        let remedy = format!("write a whole number from 0 to {MAX_WORD_DELAY_MS}");
        section.fault("word_delay_ms", "is out of range", remedy);
    }
    Duration::from_millis(delay.unwrap_or_default())
}

/// The intents in the order of the file. One that has faults stays in the list, so that keys and states count.
fn read_intents(
    value: Option<Value>,
    variables: &BTreeMap<String, String>,
    faults: &mut Vec<Fault>,
) -> Vec<Intent> {
    let items = match value {
        Some(Value::Sequence(items)) if (1..=MAX_INTENTS).contains(&items.len()) => items,
        _ => {
            let remedy = format!("list 1 to {MAX_INTENTS} intents, each with name, phrases and replies");
            faults.push(Fault::new("intents", "is missing, empty or not a list", remedy));
            return Vec::new();
        }
    };
    let mut intents = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let Value::Mapping(item) = item else {
            let remedy = "write its name, phrases and replies";
            faults.push(Fault::new(format!("intents[{at}]"), "is not a section", remedy));
            continue;
        };
        intents.push(intent(
            Section::new(format!("intents[{at}]."), item, faults),
            variables,
        ));
    }
    intents
}

fn intent(mut section: Section<'_>, variables: &BTreeMap<String, String>) -> Intent {
    for (key, remedy) in [
        ("name", "name the intent"),
        ("replies", "write what is said to it"),
    ] {
        if !section.has(key) {
            section.fault(key, "is missing", remedy);
        }
    }
    if !section.has("phrases") && !section.has("keywords") {
        section.fault(
            "phrases",
            "is missing",
            "write what callers say, or keywords of it",
        );
    }
    let intent = Intent {
        name: section.text("name").unwrap_or_default(),
        phrases: understandable(&mut section, "phrases"),
        keywords: understandable(&mut section, "keywords"),
        replies: replies(&mut section, "replies", variables),
        action: action(&mut section),
        when: section.text("when"),
        then: section.text("then"),
        after: section.text("after"),
        after_failure: section.text("after_failure"),
    };
    if intent.action.is_none() {
        for (key, text) in [("after", &intent.after), ("after_failure", &intent.after_failure)] {
            if text.is_some() {
                section.fault(
                    key,
                    "follows no action",
                    "name the tool under `action`, or remove it",
                );
            }
        }
    }
    section.finish();
    intent
}

fn understandable(section: &mut Section<'_>, key: &'static str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (key, text) in section.texts(key) {
        let words = words(&text);
        if (1..=MAX_PHRASE_WORDS).contains(&words.len()) {
            found.push(words);
        } else {
            let remedy = format!("write 1 to {MAX_PHRASE_WORDS} words");
            section.fault(&key, "has no words, or too many", remedy);
        }
    }
    found
}

fn replies(
    section: &mut Section<'_>,
    key: &'static str,
    variables: &BTreeMap<String, String>,
) -> Vec<String> {
    let texts = section.texts(key);
    let fill = |(key, text): (String, String)| {
        fill(&text, variables)
            .map_err(|unknown| {
                let problem = format!("uses `{{{unknown}}}`, which is not among the variables");
                section.fault(
                    &key,
                    problem,
                    "define it under `variables`, or take the braces out",
                );
            })
            .ok()
    };
    texts.into_iter().filter_map(fill).collect()
}

/// `text` with each `{name}` replaced, or the first name that is unknown.
fn fill(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    template::fill(text, |name| {
        let name = name.trim();
        variables.get(name).cloned().ok_or_else(|| name.to_owned())
    })
}

/// The name of a tool, or one tool with its arguments.
fn action(section: &mut Section<'_>) -> Option<Action> {
    let (tool, arguments) = match section.take("action")? {
        Value::String(tool) => (tool, "{}".to_owned()),
        Value::Mapping(mapping) if mapping.len() == 1 => {
            let (tool, arguments) = mapping.into_iter().next()?;
            let arguments = Some(arguments).filter(Value::is_mapping);
            let arguments = arguments.and_then(|arguments| serde_json::to_string(&arguments).ok());
            (tool.as_str()?.to_owned(), arguments.unwrap_or_default())
        }
        _ => (String::new(), String::new()),
    };
    if tool.is_empty() || arguments.is_empty() {
        section.fault(
            "action",
            "is not the call of a tool",
            "write end_call, or {transfer_call: {to: sales}}",
        );
        return None;
    }
    Some(Action { tool, arguments })
}

/// What is wrong between intents: names and phrases that two have, states that cannot be reached or never end.
fn find_contradictions(intents: &[Intent], faults: &mut Vec<Fault>) {
    let states = |of: fn(&Intent) -> &Option<String>| -> BTreeSet<&str> {
        intents
            .iter()
            .filter_map(|intent| of(intent).as_deref())
            .collect()
    };
    let (entered, awaited) = (states(|intent| &intent.then), states(|intent| &intent.when));
    let (mut names, mut phrases) = (BTreeSet::new(), BTreeMap::new());
    for (at, intent) in intents.iter().enumerate() {
        let mut fault = |key: &str, problem: String, remedy: &str| {
            faults.push(Fault::new(format!("intents[{at}].{key}"), problem, remedy));
        };
        if !intent.name.is_empty() && !names.insert(&intent.name) {
            fault(
                "name",
                format!("`{}` is the name of an earlier intent", intent.name),
                "give it another name",
            );
        }
        for phrase in &intent.phrases {
            if let Some(earlier) = phrases.insert((intent.when.as_deref(), phrase), at) {
                let problem = format!("`{}` is a phrase of intents[{earlier}] too", phrase.join(" "));
                fault("phrases", problem, "keep it in one of the two");
            }
        }
        if let Some(when) = intent.when.as_deref().filter(|when| !entered.contains(when)) {
            fault(
                "when",
                format!("no intent leads to `{when}`"),
                "write it as `then` of another intent",
            );
        }
        if let Some(then) = intent.then.as_deref().filter(|then| !awaited.contains(then)) {
            fault(
                "then",
                format!("no intent waits for `{then}`"),
                "write it as `when` of another intent",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(yaml: &str) -> Vec<String> {
        match Dialogue::parse(yaml) {
            Ok(_) => Vec::new(),
            Err(Faults(faults)) => {
                assert!(
                    faults
                        .iter()
                        .all(|fault| !fault.problem.is_empty() && !fault.remedy.is_empty())
                );
                faults.into_iter().map(|fault| fault.key).collect()
            }
        }
    }

    #[test]
    fn all_faults_come_at_once() {
        let yaml = "
word_delay_ms: 5000
variables: {hours: 9}
greeting: Hi
intents:
  - {name: a, phrases: ['…', open], replies: 'At {hour}.', action: [dance]}
  - {name: a, phrases: [Open!], replies: 7, when: nowhere}
  - {name: b, replies: [], then: never, phrase: x, after: y}
  - text
";
        let expected = [
            "fallback",
            "greeting",
            "intents[0].action",
            "intents[0].phrases[0]",
            "intents[0].replies",
            "intents[1].name",
            "intents[1].replies",
            "intents[1].when",
            "intents[2].after",
            "intents[2].phrase",
            "intents[2].phrases",
            "intents[2].replies",
            "intents[2].then",
            "intents[3]",
            "variables.hours",
            "word_delay_ms",
        ];
        let mut found = keys(yaml);
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_phrase_belongs_to_one_intent_of_a_state() {
        let two = |when: &str| {
            format!(
                "intents:\n  - {{name: a, phrases: yes, replies: a, then: s}}\n  \
                 - {{name: b, phrases: yes, replies: b{when}}}\n  - {{name: c, phrases: c, replies: c, when: s}}\n\
                 fallback: f"
            )
        };
        assert_eq!(keys(&two("")), ["intents[1].phrases"]);
        assert_eq!(keys(&two(", when: s")), [""; 0]);
    }

    #[test]
    fn what_is_no_dialogue_is_one_fault() {
        for yaml in ["", "- a", "intents: [", "7"] {
            assert_eq!(keys(yaml), [""], "{yaml}");
        }
        assert_eq!(keys("fallback: f\nintents: []"), ["intents"]);
    }

    #[test]
    fn variables_are_filled_in() {
        let variables = BTreeMap::from([("a".to_owned(), "x".to_owned())]);
        assert_eq!(fill("{a} and { a }.", &variables).unwrap(), "x and x.");
        assert_eq!(fill("{b}", &variables).unwrap_err(), "b");
        assert_eq!(fill("{a", &variables).unwrap(), "x");
    }
}
