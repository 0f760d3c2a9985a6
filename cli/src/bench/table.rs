//! What was measured, for people and for programs.

use serde::Serialize;

use super::figures::{LIMIT, Row, Spread};
use super::stubs;
use crate::paint::{Line, Tone};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    /// Of this format: 1.
    pub(super) version: u32,
    /// `release` or `debug`.
    pub(super) profile: &'static str,
    pub(super) cores: usize,
    /// Of the machine, before the first call.
    pub(super) load: Option<f64>,
    pub(super) stubs_ms: Delays,
    /// `trunkline`, or `other`: then nothing is known of the agent's process.
    pub(super) agent: &'static str,
    /// Memory of its process before a call, and after the one that does not count.
    pub(super) idle_pss_kb: Option<u64>,
    pub(super) warm_pss_kb: Option<u64>,
    /// Questions of each caller, the interrupted one included.
    pub(super) answers_per_call: u16,
    pub(super) rows: Vec<Row>,
    /// The most callers that were answered in time, if that was asked for.
    pub(super) limit: Option<u16>,
}

/// The delays of the stub providers.
#[derive(Debug, Serialize)]
pub(super) struct Delays {
    stt: u128,
    llm_first_token: u128,
    llm_token: u128,
    tts: u128,
}

impl Delays {
    pub(super) fn of_stubs() -> Self {
        Self {
            stt: stubs::STT.as_millis(),
            llm_first_token: stubs::LLM.as_millis(),
            llm_token: stubs::TOKEN.as_millis(),
            tts: stubs::TTS.as_millis(),
        }
    }
}

/// A column: what it is, how wide, and what stands in it.
type Column = (&'static str, usize, fn(&Row) -> String);

const COLUMNS: [Column; 11] = [
    ("callers", 9, |row| row.callers.to_string()),
    ("e2e p50", 10, |row| seconds(row.e2e_ms, |it| it.p50)),
    ("p95", 8, |row| seconds(row.e2e_ms, |it| it.p95)),
    ("own p50", 10, |row| {
        ms(row.own_ms.map(|own| own.total), |it| it.p50)
    }),
    ("p99", 8, |row| ms(row.own_ms.map(|own| own.total), |it| it.p99)),
    ("greeting", 11, |row| ms(row.greeting_ms, |it| it.p50)),
    ("p95", 9, |row| ms(row.greeting_ms, |it| it.p95)),
    ("barge-in", 11, |row| ms(row.barge_in_ms, |it| it.p50)),
    ("p95", 8, |row| ms(row.barge_in_ms, |it| it.p95)),
    ("CPU a call", 12, |row| {
        cell(row.cpu_percent_per_call.map(|percent| format!("{percent:.1} %")))
    }),
    ("memory", 11, |row| {
        cell(
            row.memory_kb_per_call
                .map(|kb| format!("{}.{} MB", kb / 1_000, kb.abs() % 1_000 / 100)),
        )
    }),
];

const PARTS: [Column; 8] = [
    ("callers", 9, |row| row.callers.to_string()),
    ("transcription", 15, |row| {
        both(row.own_ms.map(|own| own.transcription))
    }),
    ("model asked", 14, |row| both(row.own_ms.map(|own| own.llm))),
    ("end of turn", 14, |row| {
        both(row.own_ms.map(|own| own.end_of_turn))
    }),
    ("voice asked", 14, |row| both(row.own_ms.map(|own| own.tts))),
    ("playout", 12, |row| both(row.own_ms.map(|own| own.playout))),
    ("to the agent", 18, |row| both(row.own_ms.map(|own| own.hearing))),
    ("back", 14, |row| both(row.own_ms.map(|own| own.delivery))),
];

/// The table.
pub(super) fn table(results: &Results) -> Vec<Line> {
    let mut lines = vec![
        Line::empty(),
        Line::heading("  Latency and load").and(
            "   e2e: end of the caller's speech → agent heard; own: beyond endpointing and providers",
            Tone::Dim,
        ),
        head(&COLUMNS),
    ];
    lines.extend(results.rows.iter().map(|row| body(&COLUMNS, row)));
    if results.rows.iter().any(|row| row.own_ms.is_some()) {
        lines.push(Line::empty());
        lines.push(Line::heading("  Where the agent's own share comes about").and(
            "   p50 / p99, ms; the ways to the agent and back are not in it",
            Tone::Dim,
        ));
        lines.push(head(&PARTS));
        lines.extend(results.rows.iter().map(|row| body(&PARTS, row)));
    }
    lines.push(Line::empty());
    lines.extend(notes(results));
    lines
}

fn notes(results: &Results) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in results.rows.iter().filter(|row| row.failed > 0) {
        let told = format!("  ✗ {} of {} calls failed: ", row.failed, row.callers);
        lines.push(Line::of(told, Tone::Bad).and(row.failures.join("; "), Tone::Plain));
    }
    if let Some(limit) = results.limit {
        let told = format!("  {limit} callers");
        lines.push(Line::of(told, Tone::Strong).and(
            format!(" at once are answered within {} s in 95 of 100 turns; callers, server and agent share this machine", LIMIT.as_secs()),
            Tone::Dim,
        ));
    }
    if let (Some(idle), Some(warm)) = (results.idle_pss_kb, results.warm_pss_kb) {
        let told = format!(
            "  the agent's process: {} MB before a call, {} MB after one",
            idle / 1_000,
            warm / 1_000
        );
        lines.push(Line::of(told, Tone::Dim));
    }
    let late = results
        .rows
        .iter()
        .filter_map(|row| row.late_ms)
        .map(|late| late.p99);
    let late = late.fold(0.0, f64::max);
    let load = cell(results.load.map(|load| format!("{load:.1}")));
    let told = format!(
        "  {} build, {} cores, load {load} before; the machine was {late:.0} ms late at p99",
        results.profile, results.cores
    );
    lines.push(Line::of(told, Tone::Dim));
    lines.push(Line::empty());
    lines
}

fn head(columns: &[Column]) -> Line {
    let cells = columns.iter().map(|(name, width, _)| format!("{name:>width$}"));
    Line::of(cells.collect::<String>(), Tone::Dim)
}

fn body(columns: &[Column], row: &Row) -> Line {
    let tone = if row.is_good() { Tone::Plain } else { Tone::Bad };
    let cells = columns
        .iter()
        .map(|(_, width, cell)| format!("{:>width$}", cell(row)));
    Line::of(cells.collect::<String>(), tone)
}

fn cell(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| "–".to_owned())
}

fn seconds(spread: Option<Spread>, figure: fn(&Spread) -> f64) -> String {
    cell(spread.map(|spread| format!("{:.2} s", figure(&spread) / 1_000.0)))
}

fn ms(spread: Option<Spread>, figure: fn(&Spread) -> f64) -> String {
    cell(spread.map(|spread| format!("{:.0} ms", figure(&spread))))
}

fn both(spread: Option<Spread>) -> String {
    cell(spread.map(|spread| format!("{:.0} / {:.0}", spread.p50, spread.p99)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::tests::row;
    use crate::paint::plain;

    fn results(rows: Vec<Row>) -> Results {
        Results {
            version: 1,
            profile: "debug",
            cores: 2,
            load: Some(0.5),
            stubs_ms: Delays::of_stubs(),
            agent: "trunkline",
            idle_pss_kb: Some(21_000),
            warm_pss_kb: Some(30_000),
            answers_per_call: 2,
            rows,
            limit: Some(40),
        }
    }

    #[test]
    fn a_row_of_the_table_is_a_row_of_calls() {
        let results = results(vec![
            row(&[700, 710], &[]),
            row(&[700], &["no greeting was heard"]),
        ]);
        let lines: Vec<_> = table(&results).iter().map(plain).collect();
        let text = lines.join("\n");
        let first: Vec<_> = lines[3].split_whitespace().collect();
        assert_eq!(
            first.join(" "),
            "1 0.70 s 0.71 s 20 ms 20 ms 250 ms 250 ms 200 ms 200 ms 2.5 % 3.0 MB"
        );
        assert_eq!(lines[2].chars().count(), lines[3].chars().count(), "{text}");
        assert!(
            text.contains("1 of 2 calls failed: no greeting was heard"),
            "{text}"
        );
        assert!(text.contains("40 callers at once"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 118), "{text}");
    }

    #[test]
    fn programs_read_the_same() {
        let results = serde_json::to_value(results(vec![row(&[700, 710], &[])])).unwrap();
        assert_eq!(results["rows"][0]["e2e_ms"]["p50"], 700.0);
        assert_eq!(results["rows"][0]["own_ms"]["playout"]["max"], 12.0);
        assert_eq!(results["stubs_ms"]["llm_token"], 20);
        assert_eq!(results["limit"], 40);
    }
}
