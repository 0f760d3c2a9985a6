//! How many calls with sound one gateway carries, and what each costs: measured. `make gateway-load`.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use caller::{Call, CallerConfig};
use dev::Program;
use platform::config::LiveKitConfig;
use platform::livekit::LiveKit;
use service::Timeouts;
use sip::admission::Limits;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::agent::Agent;
use crate::fixture::{FROM, Fixture, SOON, place};
use crate::handles::Handles;
use crate::speech::babble;

/// Every call to it has a room of its own.
const CALLED: &str = "+15550199";
const STEP: usize = 3;
const MOST: usize = 30;
const WINDOW: Duration = Duration::from_secs(8);
/// A frame is on time if it is no further behind its 20 ms grid than this.
const ON_TIME: Duration = Duration::from_millis(20);
/// Of all frames, and of both cores.
const ENOUGH: f64 = 0.99;
const TOO_BUSY: f64 = 0.70;

/// Phones and agents, in a process of their own: what they cost is not the gateway's.
struct Others {
    child: Child,
    orders: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
}

impl Others {
    fn start(fixture: &Fixture) -> (Self, String) {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["load::phones_and_agents", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let keys = fixture.stack.keys();
        let (url, there) = (fixture.stack.ws_url(), fixture.gateway.local_addr());
        let first = format!("{url} {} {} {there}", keys.api_key(), keys.api_secret());
        let orders = child.stdin.take().expect("piped");
        let reports = BufReader::new(child.stdout.take().expect("piped")).lines();
        (
            Self {
                child,
                orders,
                reports,
            },
            first,
        )
    }

    /// Gives an order and waits for what comes of it.
    async fn order(&mut self, order: &str) -> String {
        self.orders
            .write_all(format!("{order}\n").as_bytes())
            .await
            .expect("written");
        let report = async {
            while let Some(line) = self.reports.next_line().await.expect("readable") {
                if let Some((_, report)) = line.split_once("report: ") {
                    return report.to_owned();
                }
            }
            panic!("the phones' process ended");
        };
        timeout(Duration::from_secs(90), report).await.expect("in time")
    }
}

/// Time on a processor since a process began.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || {
        fields
            .next()
            .and_then(|it| it.parse::<u64>().ok())
            .expect("ticks")
    };
    // A hundred a second, on every Linux.
    Duration::from_millis((ticks() + ticks()) * 10)
}

/// Of so many calls.
#[derive(Debug)]
struct Step {
    calls: f64,
    on_time: f64,
    /// Of one core: the gateway, livekit-server, phones and agents.
    cores: [f64; 3],
    resident_kb: f64,
}

/// Of `y` over `x`, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.iter().map(|_| 1.0).sum::<f64>();
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let both: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
    both / points.iter().map(|it| (it.0 - x).powi(2)).sum::<f64>()
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .expect("Linux")
        .trim()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a machine that does nothing else"]
async fn calls_with_sound_until_frames_are_late_or_the_machine_is_busy() {
    let fixture = Fixture::alone(Timeouts::default(), Limits::default()).await;
    fixture.rooms(CALLED).await;
    println!("load of the machine before: {}", load());
    let (mut others, first) = Others::start(&fixture);
    others.order(&first).await;
    let pids = [
        std::process::id(),
        fixture.stack.pid(Program::LiveKit),
        others.child.id().expect("it runs"),
    ];
    let mut steps: Vec<Step> = Vec::new();
    for calls in (0..=MOST).step_by(STEP) {
        if calls > 0 {
            others.order(&format!("more {STEP}")).await;
        }
        sleep(Duration::from_secs(3)).await;
        let (before, begun) = (pids.map(cpu), Instant::now());
        let report = others.order(&format!("watch {}", WINDOW.as_millis())).await;
        let seconds = begun.elapsed().as_secs_f64();
        let mut cores = pids.map(cpu).map(|it| it.as_secs_f64());
        for (after, before) in cores.iter_mut().zip(before) {
            *after = (*after - before.as_secs_f64()) / seconds;
        }
        let kb = u32::try_from(Handles::count().resident_kb).expect("less than a TiB");
        let step = Step {
            calls: f64::from(u32::try_from(calls).expect("few")),
            on_time: report.parse().expect("a share"),
            cores,
            resident_kb: f64::from(kb),
        };
        let all = step.cores.iter().sum::<f64>() / 2.0;
        println!(
            "{calls} calls: {:.2} % of frames on time; gateway {:.1} %, livekit-server {:.1} %, phones and agents {:.1} % of a core, {:.0} % of both; gateway {kb} kB; load {}",
            step.on_time * 1e2,
            step.cores[0] * 1e2,
            step.cores[1] * 1e2,
            step.cores[2] * 1e2,
            all * 1e2,
            load()
        );
        let is_late = |step: &Step| step.on_time < ENOUGH;
        // Once may be somebody else's doing.
        let late = is_late(&step) && steps.last().is_some_and(is_late);
        let busy = all >= TOO_BUSY;
        steps.push(step);
        if late || busy {
            let cause = if busy {
                "the processors are busy"
            } else {
                "frames are late"
            };
            println!("the limit: {cause}");
            break;
        }
    }
    let good = steps.iter().filter(|step| step.on_time >= ENOUGH);
    let most = good.map(|step| step.calls).fold(0.0, f64::max);
    println!("the most calls whose frames were on time: {most:.0}");
    let points = |of: fn(&Step) -> f64| {
        steps
            .iter()
            .map(|step| (step.calls, of(step)))
            .collect::<Vec<_>>()
    };
    // The first call brings what is needed once and for all.
    println!(
        "a call costs the gateway {:.2} % of a core and {:.0} kB",
        slope(&points(|step| step.cores[0])[1..]) * 1e2,
        slope(&points(|step| step.resident_kb)[1..])
    );
    assert!(steps.len() > 2 && steps[1].on_time > 0.0, "{steps:?}");
    others.order("end all").await;
    let deadline = Instant::now() + SOON;
    while fixture.gateway.stats().sip.calls > 0 {
        assert!(Instant::now() < deadline, "{:?}", fixture.gateway.stats());
        sleep(Duration::from_millis(50)).await;
    }
    fixture.stop().await;
}

/// What the process of phones and agents has.
struct Party {
    api: LiveKit,
    url: String,
    config: CallerConfig,
    calls: Vec<Arc<Call>>,
    agents: Vec<(String, Agent)>,
    speaking: JoinSet<()>,
}

impl Party {
    async fn more(&mut self, count: usize) {
        for _ in 0..count {
            let call = Arc::new(place(self.config.clone()).await);
            call.wait_ringing(SOON).await.expect("ringing");
            let room = self.new_room().await;
            let token = self.api.agent_token(&room, "agent").expect("token");
            let agent = Agent::connect(&self.url, token.expose()).await;
            call.wait_answered(SOON).await.expect("answered");
            self.agents.push((room, agent));
            self.calls.push(Arc::clone(&call));
            self.speaking.spawn(async move {
                let words = babble(3);
                while call.speak(&words).await.is_ok() {}
            });
        }
    }

    async fn new_room(&self) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let rooms = self.api.list_rooms(&[]).await.expect("listed");
            let is_new = |name: &String| !self.agents.iter().any(|(known, _)| known == name);
            let mut new = rooms.into_iter().map(|room| room.name).filter(is_new);
            if let Some(room) = new.next() {
                return room;
            }
            assert!(Instant::now() < deadline, "no room");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The share of frames that came on time, of all that were due.
    async fn watch(&self, window: Duration) -> f64 {
        let from: Vec<_> = self
            .calls
            .iter()
            .map(|call| call.invited_at().elapsed())
            .collect();
        sleep(window).await;
        let (mut good, mut due) = (0, 0);
        for (call, from) in self.calls.iter().zip(from) {
            let received = call.received();
            let late: Vec<_> = received
                .arrivals
                .iter()
                .filter(|it| it.at >= from && it.at < from + window)
                .map(|it| it.at.as_secs_f64() - received.duration(it.position).as_secs_f64())
                .collect();
            let least = late.iter().copied().fold(f64::INFINITY, f64::min);
            good += late
                .iter()
                .filter(|it| **it - least <= ON_TIME.as_secs_f64())
                .count();
            due += usize::try_from(window.as_millis() / 20).expect("few");
        }
        let share = |count: usize| f64::from(u32::try_from(count).expect("few"));
        if due == 0 {
            1.0
        } else {
            (share(good) / share(due)).min(1.0)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by Others in a process of its own"]
async fn phones_and_agents() {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let Some(first) = lines.next_line().await.expect("readable") else {
        return;
    };
    let [url, api_key, api_secret, there] = first.split(' ').collect::<Vec<_>>()[..] else {
        return;
    };
    platform::install_providers();
    let config = LiveKitConfig {
        url: url.to_owned(),
        api_key: api_key.to_owned(),
        api_secret: platform::Secret::new(api_secret),
        webhook_keys: Vec::new(),
    };
    let mut party = Party {
        api: LiveKit::new(&config).expect("client"),
        url: url.to_owned(),
        config: CallerConfig::new(CALLED, FROM, there.parse().expect("an address")),
        calls: Vec::new(),
        agents: Vec::new(),
        speaking: JoinSet::new(),
    };
    println!("report: ready");
    while let Some(order) = lines.next_line().await.expect("readable") {
        match order.split_once(' ') {
            Some(("more", count)) => {
                party.more(count.parse().expect("a number")).await;
                println!("report: done");
            }
            Some(("watch", millis)) => {
                let window = Duration::from_millis(millis.parse().expect("a number"));
                println!("report: {}", party.watch(window).await);
            }
            _ => {
                for call in &party.calls {
                    call.hang_up().await;
                }
                println!("report: done");
            }
        }
    }
}
