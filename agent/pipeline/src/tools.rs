//! Tools within an utterance: those that run at once, side by side, while the caller is not left in silence.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use providers::tools::{END_CALL, Timing, ToolCall, ToolResult, ToolSpec, Toolbox};
use tokio::time::{Instant, sleep};

use crate::{reply::Teller, stages::StageEvent};

/// How often a model may call tools before it has to answer.
pub(crate) const MAX_STEPS: usize = 3;
/// Silence that makes a caller ask whether anybody is there.
const HOLD_AFTER: Duration = Duration::from_millis(1500);

/// What the conversation does itself.
pub(crate) fn end_call() -> ToolSpec {
    ToolSpec {
        name: END_CALL.to_owned(),
        description: "Ends the phone call. Call it together with your last words, once the caller has said goodbye or there is \
                      nothing left to do."
            .to_owned(),
        parameters: serde_json::json!({"type": "object", "properties": {}, "additionalProperties": false}),
    }
}

/// The calls of one step.
pub(crate) struct Calls {
    pub(crate) ends_call: bool,
    /// Without `end_call`.
    all: Vec<ToolCall>,
    now: Vec<ToolCall>,
    after: Vec<ToolCall>,
}

impl Calls {
    pub(crate) fn new(calls: Vec<ToolCall>, toolbox: &Toolbox) -> Self {
        let (end, all): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.name == END_CALL);
        let (after, now) = all
            .iter()
            .cloned()
            .partition(|call| toolbox.timing(&call.name) == Timing::AfterSpeech);
        Self {
            ends_call: !end.is_empty(),
            all,
            now,
            after,
        }
    }

    /// Whether there is anything to come back to within this utterance.
    pub(crate) fn has_results(&self) -> bool {
        !self.now.is_empty()
    }

    /// Runs what runs at once, and tells of everything. `hold` is done once when the caller has waited for long.
    pub(crate) async fn run(
        self,
        toolbox: &Toolbox,
        teller: &Teller,
        hold: impl Future<Output = ()>,
    ) -> (Vec<ToolCall>, Vec<ToolResult>) {
        let Self { all, now, after, .. } = self;
        if all.is_empty() {
            return (all, Vec::new());
        }
        teller
            .tell(StageEvent::Called {
                utterance: teller.utterance,
                calls: all.clone(),
                after: after.clone(),
            })
            .await;
        let mut results: Vec<_> = after.iter().map(under_way).collect();
        let called = Instant::now();
        let mut running: FuturesUnordered<_> = now.iter().map(|call| toolbox.call(call)).collect();
        let patience = async {
            sleep(HOLD_AFTER).await;
            hold.await;
            std::future::pending::<()>().await;
        };
        tokio::pin!(patience);
        while !running.is_empty() {
            let result = tokio::select! {
                Some(result) = running.next() => result,
                () = &mut patience => continue,
            };
            results.push(result.clone());
            teller
                .tell(StageEvent::Returned {
                    utterance: teller.utterance,
                    result,
                    took: called.elapsed(),
                })
                .await;
        }
        (all, results)
    }
}

/// What a model is told of a call that has not come back.
pub(crate) fn under_way(call: &ToolCall) -> ToolResult {
    ToolResult {
        id: call.id.clone(),
        content: "it is under way; its result will follow".to_owned(),
        is_error: false,
    }
}

/// What a model is told of a call that the caller interrupted.
pub(crate) fn interrupted(call: &ToolCall, has_begun: bool) -> ToolResult {
    let content = if has_begun {
        "the caller interrupted it; whether it was done is not known"
    } else {
        "the caller interrupted the agent, so it was not done"
    };
    ToolResult {
        id: call.id.clone(),
        content: content.to_owned(),
        is_error: true,
    }
}
