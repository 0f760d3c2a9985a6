//! `--watch`: the same again and again, of which only what has changed is told.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use platform::clock::{Clock as _, SystemClock};
use serde_json::json;
use time::macros::format_description;
use tokio::time::{MissedTickBehavior, interval};

use super::{Area, Arguments, Finding, Patient, Severity, code, count, finding, print};
use crate::{
    local::interruption,
    paint::{Line, Paper, Tone},
};

/// Looks until Ctrl-C or SIGTERM; exits by what was found last.
pub(super) async fn run(
    patient: &Patient,
    arguments: &Arguments,
    every: Duration,
) -> anyhow::Result<ExitCode> {
    // Taken once: one that waits anew for each look would miss a signal that comes while it tells.
    let interruption = interruption()?;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<Vec<Finding>> = None;
    loop {
        let next = async {
            ticks.tick().await;
            patient.examine(&areas(arguments, last.is_none())).await
        };
        let mut found = tokio::select! {
            // Both may be cut off: what an area leaves in the middle, the server removes.
            () = interruption.cancelled() => break,
            found = next => found,
        };
        match &last {
            None => tell_all(&found, arguments)?,
            Some(last) => {
                carry_over(last, &mut found);
                tell_change(last, &found, arguments)?;
            }
        }
        last = Some(found);
    }
    if std::io::stdout().is_terminal() && !arguments.json {
        println_plain("")?;
    }
    Ok(code(&last.unwrap_or_default()))
}

/// Providers are paid for: they are asked once, unless they are asked for by name.
fn areas(arguments: &Arguments, is_first: bool) -> Vec<Area> {
    let is_wanted = |area: &Area| is_first || *area != Area::Providers || !arguments.only.is_empty();
    arguments.areas().into_iter().filter(is_wanted).collect()
}

/// What has not been looked at again is as it was.
fn carry_over(last: &[Finding], found: &mut Vec<Finding>) {
    let providers = |finding: &&Finding| finding.is_of(Area::Providers);
    if !found.iter().any(|finding| finding.is_of(Area::Providers)) {
        found.extend(last.iter().filter(providers).cloned());
    }
}

fn tell_all(found: &[Finding], arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.json {
        return tell_json(found, &[]);
    }
    print(found, arguments);
    status(found)
}

fn tell_change(last: &[Finding], found: &[Finding], arguments: &Arguments) -> anyhow::Result<()> {
    let changed = changed(last, found);
    if arguments.json {
        if changed.is_empty() {
            return Ok(());
        }
        return tell_json(found, &changed);
    }
    if !changed.is_empty() {
        erase()?;
        let mut paper = Paper::new();
        paper.print([Line::of(format!("  {}", now()), Tone::Strong)]);
        let of_changed = found.iter().filter(|finding| changed.contains(&finding.area()));
        paper.print_wrapped(of_changed.flat_map(Finding::lines), finding::SAYS_AT);
        paper.print(finding::end(
            count(found, Severity::Error),
            count(found, Severity::Warning),
        ));
    }
    status(found)
}

/// The areas of which something else is to be done than before. What is well may say another number each time.
fn changed(last: &[Finding], found: &[Finding]) -> Vec<&'static str> {
    let (before, after) = (of_areas(last), of_areas(found));
    let names = before.keys().chain(after.keys()).copied();
    let mut changed: Vec<&str> = names.filter(|area| before.get(area) != after.get(area)).collect();
    changed.sort_unstable();
    changed.dedup();
    changed
}

fn of_areas(findings: &[Finding]) -> BTreeMap<&'static str, Vec<String>> {
    let mut areas: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for finding in findings {
        areas.entry(finding.area()).or_default().extend(finding.matter());
    }
    areas
}

fn tell_json(found: &[Finding], changed: &[&str]) -> anyhow::Result<()> {
    let mut told = finding::json(
        found,
        count(found, Severity::Error),
        count(found, Severity::Warning),
    );
    if let Some(map) = told.as_object_mut() {
        map.insert("changed".to_owned(), json!(changed));
    }
    println_plain(&told.to_string())
}

/// On a terminal alone: that it is still at it.
fn status(found: &[Finding]) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if !out.is_terminal() {
        return Ok(());
    }
    let (errors, warnings) = (count(found, Severity::Error), count(found, Severity::Warning));
    write!(
        out,
        "\r  watching; looked at {}: {errors} errors, {warnings} warnings. Ctrl-C ends it ",
        now()
    )?;
    Ok(out.flush()?)
}

fn erase() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if out.is_terminal() {
        let line = crossterm::terminal::Clear(crossterm::terminal::ClearType::CurrentLine);
        crossterm::execute!(out, line, crossterm::cursor::MoveToColumn(0))?;
    }
    Ok(())
}

fn println_plain(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn now() -> String {
    let format = format_description!("[hour]:[minute]:[second] UTC");
    SystemClock.now().format(format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_to_be_done_counts_as_a_change() {
        let well = |says: &str| Finding::well(Area::Livekit, says);
        let bad = |says: &str| Finding::error(Area::Bus, says, "do it");
        let quiet = changed(&[well("0 rooms")], &[well("1 rooms")]);
        assert!(quiet.is_empty(), "{quiet:?}");
        let before = [well("0 rooms"), Finding::well(Area::Bus, "it answers")];
        assert_eq!(changed(&before, &[well("0 rooms"), bad("gone")]), ["bus"]);
        assert_eq!(changed(&[bad("gone")], &[bad("another")]), ["bus"]);
        assert_eq!(
            changed(&[bad("gone")], &[Finding::well(Area::Bus, "it answers")]),
            ["bus"]
        );
        assert!(changed(&[bad("gone")], &[bad("gone")]).is_empty());
    }

    #[test]
    fn providers_are_as_they_were_when_they_are_not_asked_again() {
        let last = [Finding::error(Area::Providers, "no key", "set one")];
        let mut found = vec![Finding::well(Area::Livekit, "0 rooms")];
        carry_over(&last, &mut found);
        assert_eq!(found.len(), 2);
        assert!(changed(&last, &found[1..]).is_empty());
    }
}
