//! `trunkline bench`: how soon an agent answers, and what a call costs.
//!
//! Synthetic callers, participants of kind SIP, each in a room of its own, talk with the agent beside a real livekit-server; the
//! agent's providers are stubs of fixed delay over HTTP, so that what is measured is the agent. Latencies are what a caller hears.
//! What the agent itself adds is told by its own records and by the stubs, which know when they were asked; what it costs is read
//! from its process. Another agent can stand in its place (`--url`); then it is known by what is heard of it alone.

mod caller;
mod ear;
mod figures;
mod process;
mod rows;
mod search;
mod share;
mod stage;
mod stubs;
mod table;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use platform::config::{Environment, ProcessEnvironment};

use crate::local;
use crate::paint::{Line, Paper, Tone};
use crate::voice::{self, Sentence};
use figures::Row;
use rows::{Bench, Voice};
use search::Search;
use stage::Stage;
use stubs::Stubs;
use table::{Delays, Results};

/// What a caller asks, and what it says into an answer.
const SENTENCES: [&str; 2] = ["What are your opening hours", "Sorry, I have another question"];
/// Of the caller's voice: quieter is silence, to both ends of a sentence.
const QUIET: u16 = 700;
/// Where the files go.
const DEFAULT_OUT: &str = "bench-out";
/// What a shell expects of a program that was ended by Ctrl-C: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// The arguments of `trunkline bench`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many callers at once; each number is a row.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 20],
        value_parser = clap::value_parser!(u16).range(1..=500))]
    callers: Vec<u16>,
    /// Questions of each caller, beside a last one whose answer it interrupts.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    turns: u16,
    /// Look for the most callers of which 95 in 100 answers come within 2 s.
    #[arg(long)]
    find_limit: bool,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure the agent that takes the rooms of this LiveKit server, instead of one that is started for it.
    #[arg(long)]
    url: Option<String>,
    /// Of that server; else the variable `LIVEKIT_API_KEY`.
    #[arg(long, value_name = "KEY", requires = "url")]
    api_key: Option<String>,
    /// Of that server; else the variable `LIVEKIT_API_SECRET`, which no list of processes shows.
    #[arg(long, value_name = "SECRET", requires = "url")]
    api_secret: Option<String>,
    /// What the names of the callers' rooms begin with.
    #[arg(long, value_name = "PREFIX", default_value = "bench-")]
    agent_room_prefix: String,
    /// The agent to be dispatched to each room, where it does not come by itself.
    #[arg(long, value_name = "NAME", requires = "url")]
    agent_name: Option<String>,
    /// Where the stub providers listen: the agent's base URL is `http://ADDRESS/v1`. By default any free port of this machine.
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    providers: SocketAddr,
    /// The livekit-server to start, found as `trunkline demo` finds it.
    #[arg(long, value_name = "FILE")]
    livekit_server: Option<PathBuf>,
    /// Where logs and records are written, in a folder of its own for each run.
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_OUT)]
    out: PathBuf,
}

/// Measures. 0: every call came to its end.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let stop = local::interruption()?;
    let mut paper = Printer::new(arguments.json);
    let folder = local::output_folder(&arguments.out, DEFAULT_OUT)?;
    // Dropping a bench in the making ends what it has started.
    let mut bench = tokio::select! {
        bench = set_up(&arguments, &folder, &mut paper) => bench?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let measured = tokio::select! {
        measured = Box::pin(measure(&arguments, &mut bench, &mut paper)) => Some(measured),
        () = stop.cancelled() => None,
    };
    if let Some(stage) = bench.stage.take() {
        stage.stop().await.context("ending what the bench started")?;
    }
    let Some(measured) = measured else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let results = measured.with_context(|| format!("the logs are in {}", folder.display()))?;
    paper.results(&results)?;
    // The search ends where calls fail.
    let asked = results.rows.iter().take(arguments.callers.len());
    Ok(if asked.map(|row| row.failed).sum::<usize>() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn set_up(arguments: &Arguments, folder: &Path, paper: &mut Printer) -> anyhow::Result<Bench> {
    let elsewhere = match &arguments.url {
        Some(url) => Some((url.clone(), keys(arguments)?)),
        None => None,
    };
    let voice = speakers(folder).await?;
    let stubs = Stubs::start(arguments.providers).await?;
    paper.step(&format!("stub providers answer at {}", stubs.base_url()));
    let prefix = &arguments.agent_room_prefix;
    let (stage, url, livekit) = if let Some((url, (key, secret))) = elsewhere {
        let livekit = local::livekit(&url, &key, &secret)?;
        (None, url, livekit)
    } else {
        let stage = Stage::start(folder, arguments.livekit_server.clone(), prefix, &stubs).await?;
        paper.step("Redis, livekit-server and trunkline serve are up");
        let (url, (key, secret)) = (stage.url(), stage.keys());
        let livekit = local::livekit(&url, key, secret)?;
        (Some(stage), url, livekit)
    };
    Ok(Bench {
        url,
        livekit,
        room_prefix: prefix.clone(),
        agent_name: arguments.agent_name.clone(),
        voice,
        stubs,
        stage,
        calls: 0,
        warm: None,
    })
}

/// The server's key and secret, from the command line or the environment.
fn keys(arguments: &Arguments) -> anyhow::Result<(String, String)> {
    let found = |flag: &Option<String>, name: &str, variable: &str| {
        let value = flag.clone().or_else(|| ProcessEnvironment.var(variable));
        value
            .filter(|value| !value.is_empty())
            .with_context(|| format!("--url needs {name} or the variable {variable}"))
    };
    let key = found(&arguments.api_key, "--api-key", "LIVEKIT_API_KEY")?;
    let secret = found(&arguments.api_secret, "--api-secret", "LIVEKIT_API_SECRET")?;
    Ok((key, secret))
}

/// The callers' voice, without silence at either end, so that a sentence begins and ends when it is heard to.
async fn speakers(folder: &Path) -> anyhow::Result<Voice> {
    let sentences = voice::synthesise(&SENTENCES, folder).await?;
    let mut spoken = sentences.iter().map(trimmed);
    let (Some(question), Some(interjection)) = (spoken.next(), spoken.next()) else {
        anyhow::bail!("flite spoke less than it was given");
    };
    ensure!(
        !question.is_empty() && !interjection.is_empty(),
        "flite spoke too quietly"
    );
    Ok(Voice {
        question,
        interjection,
    })
}

fn trimmed(sentence: &Sentence) -> Arc<[i16]> {
    let is_loud = |sample: &i16| sample.unsigned_abs() >= QUIET;
    let from = sentence.samples.iter().position(is_loud).unwrap_or(0);
    let until = sentence
        .samples
        .iter()
        .rposition(is_loud)
        .map_or(0, |last| last + 1);
    sentence.samples.get(from..until).unwrap_or_default().into()
}

async fn measure(arguments: &Arguments, bench: &mut Bench, paper: &mut Printer) -> anyhow::Result<Results> {
    let (load, idle) = (process::load(), bench.memory());
    bench.warm_up().await?;
    paper.step("a first call, which does not count, went well");
    let mut rows: Vec<Row> = Vec::new();
    let mut search = Search::default();
    for callers in &arguments.callers {
        let row = bench.row(*callers, arguments.turns).await?;
        search.note(*callers, row.is_good());
        paper.row(&row);
        rows.push(row);
    }
    let mut limit = None;
    if arguments.find_limit {
        while let Some(callers) = search.next() {
            let row = bench.row(callers, arguments.turns).await?;
            search.note(callers, row.is_good());
            paper.row(&row);
            rows.push(row);
        }
        limit = Some(search.found());
    }
    Ok(Results {
        version: 1,
        profile: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load,
        stubs_ms: Delays::of_stubs(),
        agent: if bench.stage.is_some() {
            "trunkline"
        } else {
            "other"
        },
        idle_pss_kb: idle.map(|memory| memory.pss),
        warm_pss_kb: bench.warm.map(|memory| memory.pss),
        answers_per_call: arguments.turns + 1,
        rows,
        limit,
    })
}

/// Standard output for what was asked for; standard error for what goes on, where that is JSON.
struct Printer {
    paper: Option<Paper>,
}

impl Printer {
    fn new(json: bool) -> Self {
        let mut paper = (!json).then(Paper::new);
        if let Some(paper) = &mut paper {
            paper.print([
                Line::empty(),
                Line::heading("  Trunkline: callers, an agent and a stopwatch"),
                Line::empty(),
            ]);
        }
        Self { paper }
    }

    fn step(&mut self, text: &str) {
        match &mut self.paper {
            Some(paper) => paper.print([Line::step(text)]),
            None => eprintln!("{text}"),
        }
    }

    fn row(&mut self, row: &Row) {
        let noun = if row.callers == 1 { "caller" } else { "callers" };
        let told = format!("{} {noun} at once: {} calls failed", row.callers, row.failed);
        match &mut self.paper {
            Some(paper) if row.failed > 0 => {
                paper.print([Line::of("  ✗ ", Tone::Bad).and(told, Tone::Plain)]);
            }
            _ => self.step(&told),
        }
    }

    fn results(&mut self, results: &Results) -> anyhow::Result<()> {
        if let Some(paper) = &mut self.paper {
            paper.print(table::table(results));
            return Ok(());
        }
        let json = serde_json::to_string_pretty(results)?;
        writeln!(std::io::stdout(), "{json}").context("writing the results")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_loses_the_silence_at_its_ends() {
        let sentence = Sentence {
            text: String::new(),
            samples: vec![0, 20, -900, 0, 0, 800, 3, 0],
        };
        assert_eq!(*trimmed(&sentence), [-900, 0, 0, 800]);
        let silence = Sentence {
            text: String::new(),
            samples: vec![3; 9],
        };
        assert!(trimmed(&silence).is_empty());
    }
}
