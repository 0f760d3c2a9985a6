//! What is printed before and after the call.

use std::net::SocketAddr;
use std::path::Path;

use caller::Codec;
use events::{CallRecord, Speaker, TurnRecord};

use super::checks::Finding;
use super::conversation::Exchange;
use super::progress::Archive;
use crate::paint::{Line, Tone};

pub(super) fn title(codec: Codec) -> Vec<Line> {
    vec![
        Line::empty(),
        Line::heading("  Trunkline: one phone call, from INVITE to record")
            .and(format!("   {}", codec.name()), Tone::Dim),
        Line::empty(),
    ]
}

/// What was said, as the system has it.
pub(super) fn transcript(record: &CallRecord, invited_at_ms: i64) -> Vec<Line> {
    let mut lines = vec![Line::empty(), Line::heading("  Transcript")];
    lines.extend(
        record
            .turns
            .iter()
            .map(|turn| transcript_line(turn, invited_at_ms)),
    );
    lines
}

fn transcript_line(turn: &TurnRecord, invited_at_ms: i64) -> Line {
    let ms = (turn.started_at.unix_ms() - invited_at_ms).max(0);
    let clock = format!("  {:>3}:{:02}.{}  ", ms / 60_000, ms / 1_000 % 60, ms / 100 % 10);
    let (name, tone) = match turn.speaker {
        Speaker::Caller => ("caller  ", Tone::Phone),
        _ => ("agent   ", Tone::Agent),
    };
    let cut_off = if turn.interrupted { "  (interrupted)" } else { "" };
    Line::of(clock, Tone::Dim)
        .and(name, tone)
        .and(turn.text.as_str(), Tone::Plain)
        .and(cut_off, Tone::Dim)
}

/// Where the time of each answer went.
pub(super) fn latencies(record: &CallRecord, exchanges: &[Exchange]) -> Vec<Line> {
    let names = [
        "answer",
        "heard after",
        "agent's own",
        "end of turn",
        "transcript",
        "LLM first",
        "TTS first",
    ];
    let head = columns(&names.map(str::to_owned));
    let mut lines = vec![
        Line::empty(),
        Line::heading("  Latency, ms").and("   from the caller's last sound to the agent's first", Tone::Dim),
        Line::of(head, Tone::Dim),
    ];
    let answers = record.turns.iter().filter(|turn| turn.speaker == Speaker::Agent);
    let answers = answers.filter(|turn| turn.latency.e2e_latency_ms.is_some());
    lines.extend(
        answers
            .zip(exchanges)
            .enumerate()
            .map(|(index, (turn, exchange))| {
                let latency = turn.latency;
                let parts = [
                    latency.e2e_latency_ms,
                    latency.end_of_turn_delay_ms,
                    latency.transcription_delay_ms,
                    latency.llm_ttft_ms,
                    latency.tts_ttfb_ms,
                ];
                let cell = |value: Option<u32>| value.map_or_else(|| "–".to_owned(), |ms| ms.to_string());
                Line::of(columns(&[(index + 1).to_string()]), Tone::Dim)
                    .and(
                        columns(&[exchange.waited().as_millis().to_string()]),
                        Tone::Strong,
                    )
                    .and(columns(&parts.map(cell)), Tone::Plain)
            }),
    );
    lines
}

fn columns(cells: &[String]) -> String {
    cells
        .iter()
        .fold(String::new(), |line, cell| line + &format!("{cell:>13}"))
}

/// Where everything lies, and how to listen.
pub(super) fn files(store: &Path, archive: &Archive, heard: &Path, folder: &Path) -> Vec<Line> {
    let file =
        |name: &str, path: &Path| Line::of(format!("  {name:<12}"), Tone::Dim).and(near(path), Tone::Plain);
    let mut lines = vec![Line::empty(), Line::heading("  Files")];
    let recording = archive
        .record
        .recording
        .as_ref()
        .map(|recording| store.join(&recording.key));
    if let Some(path) = &recording {
        lines.push(file("recording", path));
    }
    lines.push(file("record", &store.join(&archive.record_key)));
    if let Some(key) = &archive.record.transcript {
        lines.push(file("transcript", &store.join(key)));
    }
    lines.push(file("heard", heard));
    lines.push(file("logs", folder));
    if let Some(path) = recording {
        let listen = format!("ffplay -nodisp -autoexit {}", near(&path));
        let hint = "  Listen (caller left, agent right): any browser or player opens it, for example";
        lines.extend([
            Line::empty(),
            Line::of(hint, Tone::Dim),
            Line::of(format!("    {listen}"), Tone::Plain),
        ]);
    }
    lines
}

/// The path as seen from the working directory.
fn near(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// What the comparison of all accounts found.
pub(super) fn findings(findings: &[Finding]) -> Vec<Line> {
    let mut lines = vec![
        Line::empty(),
        Line::heading("  Do all accounts of the call agree?"),
    ];
    lines.extend(findings.iter().map(|finding| {
        match &finding.fault {
            None => Line::of("  ✓ ", Tone::Good)
                .and(format!("{:<12}", finding.what), Tone::Plain)
                .and(&finding.detail, Tone::Dim),
            Some(fault) => Line::of("  ✗ ", Tone::Bad)
                .and(format!("{:<12}", finding.what), Tone::Plain)
                .and(fault, Tone::Bad),
        }
    }));
    lines.push(Line::empty());
    lines
}

/// What `serve` has complained of; nothing where it has not.
pub(super) fn complaints(complaints: &[String]) -> Vec<Line> {
    if complaints.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        Line::empty(),
        Line::heading("  What trunkline serve complained of"),
    ];
    lines.extend(
        complaints
            .iter()
            .map(|told| Line::of(format!("    {told}"), Tone::Bad)),
    );
    lines
}

/// What `--keep` says.
pub(super) fn keep(sip: SocketAddr, called: &str) -> Vec<Line> {
    vec![
        Line::heading(
            "  All of it keeps running. Dial this from a softphone on this machine (no account, UDP, G.722):",
        ),
        Line::empty(),
        Line::of(format!("    sip:{called}@{sip}"), Tone::Agent),
        Line::empty(),
        Line::of("  Ctrl-C ends everything that the demo started.", Tone::Dim),
        Line::empty(),
    ]
}
