//! `trunkline demo`: one SIP call to an agent, before your eyes.
//!
//! It starts a local stack and `trunkline serve`, makes a trunk and a dispatch rule by LiveKit's API, and calls the agent
//! with a synthetic phone. What it shows comes from two places that know nothing of each other: the phone's own SIP and
//! RTP, and the store that the system writes. At the end both stories are compared, and a difference fails the demo.

mod brains;
mod checks;
mod conversation;
mod progress;
mod screen;
mod stage;
mod story;
mod summary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use caller::{Call, Caller, CallerConfig, Codec};
use platform::clock::{Clock, SystemClock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::local;
use crate::paint::Line;
use crate::voice::{self, Sentence};
use conversation::{Exchange, Note};
use progress::Progress;
use screen::Screen;
use stage::Stage;
use story::Story;

/// The number that is called.
const CALLED: &str = "+15550100";
/// The caller's number.
const CALLER: &str = "+15550123";
/// What the caller says, in turn.
const SENTENCES: [&str; 2] = ["What are your opening hours", "Where can I find you"];
/// How often the view is drawn and the store looked at.
const FRAME: Duration = Duration::from_millis(80);
/// How long the record may take after the end of the call.
const RECORD_LIMIT: Duration = Duration::from_secs(20);
/// How long an interrupted call may take to end.
const END_LIMIT: Duration = Duration::from_secs(2);
/// What a shell expects of a program that was ended by Ctrl-C: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// Where the files of a call go.
const DEFAULT_OUT: &str = "demo-out";

/// The arguments of `trunkline demo`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave everything running after the call, for a softphone on this machine, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Plain lines instead of the live view. The default where standard output is no terminal or `NO_COLOR` is set.
    #[arg(long)]
    plain: bool,
    /// What the caller offers: opus, g722, pcmu or pcma. The offline recogniser needs the wide band of opus or g722.
    #[arg(long, default_value = "g722", value_parser = codec)]
    codec: Codec,
    /// The offline agent, also where `OPENAI_API_KEY` is set.
    #[arg(long)]
    offline: bool,
    /// The livekit-server to start; else that of the variable `TRUNKLINE_LIVEKIT_SERVER`, else the one beside this program, in
    /// `.cache/bin` of this folder, the program's or one above, or on the PATH.
    #[arg(long, value_name = "FILE")]
    livekit_server: Option<PathBuf>,
    /// Where logs, store and what the caller heard are written, in a folder of its own for each run.
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_OUT)]
    out: PathBuf,
}

fn codec(name: &str) -> Result<Codec, String> {
    Codec::from_name(name).ok_or_else(|| "choose opus, g722, pcmu or pcma".to_owned())
}

/// Shows the call. 0: it went well and all accounts of it agree.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let stop = local::interruption()?;
    let mut screen = Screen::new(arguments.plain);
    let folder = local::output_folder(&arguments.out, DEFAULT_OUT)?;
    screen.print(&summary::title(arguments.codec));
    // Dropping a stage in the making ends what it has started.
    let mut stage = tokio::select! {
        stage = Stage::start(&folder, &arguments, &mut screen) => stage?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let mut shown = show(&arguments, &stage, &folder, &mut screen, &stop).await;
    if arguments.keep && matches!(shown, Ok(Some(_))) {
        screen.print(&summary::keep(stage.sip(), CALLED));
        // Both are cancel-safe: they only wait.
        tokio::select! {
            () = stop.cancelled() => {}
            ended = stage.watch() => shown = Err(ended.into()),
        }
    }
    screen.release();
    let log = stage.log().to_path_buf();
    // Before it is told to end, of which it would tell as well.
    let complaints = brains::complaints(&log);
    stage.stop().await.context("ending what the demo started")?;
    let panics = brains::panics(&log);
    match shown {
        Ok(Some(true)) if panics.is_empty() => Ok(ExitCode::SUCCESS),
        Ok(Some(_)) => {
            screen.print(&summary::complaints(&[complaints, panics].concat()));
            Ok(ExitCode::FAILURE)
        }
        Ok(None) => Ok(ExitCode::from(INTERRUPTED)),
        Err(error) => {
            screen.print(&summary::complaints(&[complaints, panics].concat()));
            Err(error.context(format!("the logs are in {}", folder.display())))
        }
    }
}

/// Places the call, follows it to its record, prints the account. Whether all checks passed; `None`: interrupted.
async fn show(
    arguments: &Arguments,
    stage: &Stage,
    folder: &Path,
    screen: &mut Screen,
    stop: &CancellationToken,
) -> anyhow::Result<Option<bool>> {
    let sentences = tokio::select! {
        // Dropping it ends flite.
        sentences = voice::synthesise(&SENTENCES, folder) => sentences?,
        () = stop.cancelled() => return Ok(None),
    };
    screen.print(&[Line::step("the caller's voice is ready")]);
    let mut config = CallerConfig::new(CALLED, CALLER, stage.sip());
    config.codecs = vec![arguments.codec];
    config.display_name = Some("Demo".to_owned());
    let invited_at_ms = SystemClock.now_ms();
    let call = Caller::new(config).place().await?;
    let mut story = Story::new(CALLED, invited_at_ms);
    let mut progress = Progress::new(stage.store());

    let followed = async {
        let talked = follow(&call, &sentences, &mut story, &mut progress, screen).await;
        if talked.is_err() {
            call.hang_up().await;
        }
        (talked, settle(&call, &mut story, &mut progress, screen).await)
    };
    let (talked, settled) = tokio::select! {
        done = followed => done,
        () = stop.cancelled() => {
            call.hang_up().await;
            // Whatever does not end in time ends with the stage.
            let _ = call.wait_ended(END_LIMIT).await;
            return Ok(None);
        }
    };
    screen.finish(&story, &call.received(), call.invited_at().elapsed());
    let exchanges = talked.context("the conversation broke off")?;
    settled?;

    let heard = folder.join("caller-heard.wav");
    let received = call.received();
    write_wav(&heard, &received)?;
    let report = call.finish().await;
    let archive = progress.archive().await?;
    screen.print(&summary::transcript(&archive.record, invited_at_ms));
    screen.print(&summary::latencies(&archive.record, &exchanges));
    screen.print(&summary::files(stage.store_folder(), &archive, &heard, folder));
    let findings = checks::all(&checks::Evidence {
        report: &report,
        exchanges: &exchanges,
        sentences: &sentences,
        received: &received,
        archive: &archive,
        invited_at_ms,
    });
    screen.print(&summary::findings(&findings));
    Ok(Some(findings.iter().all(|finding| finding.fault.is_none())))
}

/// Draws the call while the conversation runs.
async fn follow(
    call: &Call,
    sentences: &[Sentence],
    story: &mut Story,
    progress: &mut Progress<'_>,
    screen: &mut Screen,
) -> Result<Vec<Exchange>, caller::CallError> {
    let (notes, mut incoming) = mpsc::channel::<Note>(64);
    let conversation = conversation::hold(call, sentences, notes);
    let mut conversation = std::pin::pin!(conversation);
    let mut frames = tokio::time::interval(FRAME);
    loop {
        // Cancel-safe: a pinned future, a queue, a timer.
        tokio::select! {
            talked = &mut conversation => return talked,
            Some(note) = incoming.recv() => story.note(note),
            _ = frames.tick() => draw(call, story, progress, screen).await,
        }
    }
}

/// Goes on drawing until the record is written, which ends the story.
async fn settle(
    call: &Call,
    story: &mut Story,
    progress: &mut Progress<'_>,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let mut frames = tokio::time::interval(FRAME);
    let written = async {
        while !progress.is_closed() {
            frames.tick().await;
            draw(call, story, progress, screen).await;
        }
    };
    let in_time = tokio::time::timeout(RECORD_LIMIT, written).await.is_ok();
    let steps = call.steps();
    let so_far = steps.last().map(|last| last.step.to_string()).unwrap_or_default();
    anyhow::ensure!(
        in_time,
        "no record of the call after {RECORD_LIMIT:?}; the phone's last step: {so_far}"
    );
    Ok(())
}

async fn draw(call: &Call, story: &mut Story, progress: &mut Progress<'_>, screen: &mut Screen) {
    progress.look().await;
    story.update(&call.steps(), progress.latest());
    screen.draw(story, &call.received(), call.invited_at().elapsed());
}

fn write_wav(path: &Path, received: &caller::Received) -> anyhow::Result<()> {
    let mut file = std::fs::File::create(path).with_context(|| format!("writing {}", path.display()))?;
    audio::wav::write(&mut file, &received.samples, received.sample_rate_hz)
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_go_by_their_names_in_any_case() {
        assert_eq!(codec("PCMU"), Ok(Codec::Pcmu));
        assert!(codec("gsm").unwrap_err().contains("g722"));
    }
}
