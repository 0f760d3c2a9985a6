//! What goes into the machine and what comes out.

use std::time::Duration;

use crate::{Voice, Words};

/// One turn of the caller's, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnId(pub u32);

/// One utterance of the agent's, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtteranceId(pub u32);

/// What the agent does, as its peers call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// Not yet ready.
    Initializing,
    /// The conversation is over.
    Idle,
    /// It waits for the caller, or hears them.
    Listening,
    /// It prepares an utterance.
    Thinking,
    /// An utterance is being played, or is paused.
    Speaking,
}

/// What the caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserState {
    /// There is voice.
    Speaking,
    /// There is none.
    Listening,
    /// There was none on either side for [`crate::Limits::user_away`].
    Away,
}

/// What has happened. An input that is stale (of an utterance or a take that is over) or out of place is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The agent wishes to speak of its own accord, as for a greeting. Granted by [`Output::Prepare`] when nobody has
    /// the floor, else answered by [`Output::SayRefused`].
    Say,
    /// The agent is ready and has nothing to say.
    Listen,
    /// The caller's voice, from [`crate::VoiceGate`].
    Voice(Voice),
    /// How long after the last voice this turn is probably over; moved into [min delay, max delay].
    Hint {
        /// The turn it is about; ignored when that is over or its voice goes on.
        turn: TurnId,
        /// Counted from the last voice.
        delay: Duration,
    },
    /// The answer to [`Output::Transcribe`].
    Transcript {
        /// The turn.
        turn: TurnId,
        /// The take; an older one than the last asked for is ignored.
        take: u32,
        /// What was said.
        words: Words,
    },
    /// What the recogniser has made out of a turn, or of the caller's voice over the agent's, before it was asked.
    Interim {
        /// The turn.
        turn: TurnId,
        /// All of it so far.
        words: Words,
    },
    /// The recogniser says that the utterance is over. Counts in [`crate::TurnMode::Stt`] only.
    EndOfUtterance {
        /// The turn.
        turn: TurnId,
    },
    /// The caller's turn is over because somebody says so, whatever the voice does.
    Commit,
    /// What the caller has said and nobody has answered is to be forgotten.
    Clear,
    /// The agent is to stop its utterance because somebody says so. A last or uninterruptible one goes on.
    Interrupt,
    /// The first audio of an utterance can be played.
    ReplyReady {
        /// The utterance asked for by [`Output::EndOfTurn`] or [`Output::Prepare`].
        utterance: UtteranceId,
        /// Whether the caller may interrupt it.
        interruptible: bool,
    },
    /// There is and will be nothing to play.
    ReplyFailed {
        /// The utterance.
        utterance: UtteranceId,
    },
    /// This utterance is the last one: it is played out, uninterrupted, and the conversation ends.
    Closing {
        /// The utterance.
        utterance: UtteranceId,
    },
    /// Tools run, and nobody is to take the wait for silence: within an utterance, which is not stuck meanwhile, or beside the
    /// conversation, whose caller is not away meanwhile.
    Tools {
        /// The utterance that waits for them; none: the conversation goes on.
        utterance: Option<UtteranceId>,
        /// How long they may take from now on; zero: all of them have come back.
        limit: Duration,
    },
    /// What the playout did.
    Playout {
        /// The utterance.
        utterance: UtteranceId,
        /// What it did.
        event: Playout,
    },
    /// The caller is gone, or the conversation is to stop.
    HangUp,
}

/// The playout's news of one utterance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playout {
    /// Its first frame was written.
    Started,
    /// More of it was heard.
    Mark,
    /// Its last sample was heard.
    Finished,
    /// It is silent after [`Output::Interrupt`].
    Stopped,
}

/// Why an utterance is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The caller spoke.
    Voice,
    /// It did not get on within its limit.
    Stalled,
    /// Nobody said anything intelligible, so there is nothing to answer.
    NoWords,
    /// A hint has come that the caller's turn goes on: its end comes again.
    Hint,
    /// [`Input::Interrupt`] or [`Input::Commit`].
    Request,
    /// The conversation has reached its longest duration.
    TimeUp,
    /// The conversation is over.
    HangUp,
}

/// Why the machine ends the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The utterance marked by [`Input::Closing`] was played out.
    Closing,
    /// Nobody spoke for [`crate::Limits::idle`].
    Idle,
    /// The caller gave no answer to any reprompt.
    Away,
    /// The conversation has reached [`crate::Limits::duration`].
    TimeUp,
}

/// What the agent says because of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// The caller is away: whether they are still there.
    Away,
    /// The caller stays away: goodbye. A caller who speaks now keeps the conversation.
    AwayGoodbye,
    /// The conversation has become too long: goodbye.
    TimeUp,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Keep the caller's audio for this turn from `from` on (and some before it), until its end or discard. Comes
    /// again when the turn goes on after a silence. While its reply is prepared that is only a guess: the turn has
    /// really gone on when [`Output::Interrupt`] follows.
    Capture {
        /// The turn.
        turn: TurnId,
        /// Where its voice, or the voice that goes on, began.
        from: Duration,
    },
    /// The voice has ended, though perhaps not the turn, or its words are needed before it ends: transcribe all that was
    /// captured of it.
    Transcribe {
        /// The turn.
        turn: TurnId,
        /// Counts the attempts at this turn; only the last one's answer is taken.
        take: u32,
    },
    /// This was no turn after all: forget its audio.
    Discard {
        /// The turn.
        turn: TurnId,
    },
    /// The caller's turn is over: prepare the reply, and answer by [`Input::ReplyReady`] or [`Input::ReplyFailed`].
    /// The same turn may come again, longer, as long as its reply was not heard.
    EndOfTurn {
        /// The turn.
        turn: TurnId,
        /// The reply to be prepared.
        reply: UtteranceId,
        /// When its voice ended.
        last_voice: Duration,
    },
    /// The wish of [`Input::Say`] is granted: prepare it, and answer by [`Input::ReplyReady`] or [`Input::ReplyFailed`].
    Prepare {
        /// The utterance.
        utterance: UtteranceId,
    },
    /// As [`Output::Prepare`], of the machine's own accord.
    Prompt {
        /// The utterance.
        utterance: UtteranceId,
        /// What it is to say.
        prompt: Prompt,
    },
    /// Somebody has the floor already.
    SayRefused,
    /// Play it.
    Speak {
        /// The utterance.
        utterance: UtteranceId,
    },
    /// Be silent at once, and remember the sample where the far end stopped hearing.
    Pause {
        /// The utterance.
        utterance: UtteranceId,
    },
    /// Go on from that sample.
    Resume {
        /// The utterance.
        utterance: UtteranceId,
    },
    /// Cancel it, whether prepared or played, for good. One that was given [`Output::Speak`] answers
    /// [`Playout::Stopped`].
    Interrupt {
        /// The utterance.
        utterance: UtteranceId,
        /// Why.
        cause: Cause,
    },
    /// The agent's state has changed.
    Agent(AgentState),
    /// The caller's state has changed.
    User(UserState),
    /// Hang up. Nothing comes after it.
    End(End),
}
