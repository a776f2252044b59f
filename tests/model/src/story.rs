//! Tells a counterexample in words: who did what, in which order.

use jiff::Timestamp;
use stateright::Path;

use crate::gateway::Seen;
use crate::protocol::{Action, Protocol, Reply, Task};
use crate::state::{Pc, Retire, State};

const NAMES: [&str; 3] = ["A", "B", "HTTP"];

/// The steps of a path, in one line.
#[must_use]
pub fn tell(protocol: &Protocol, path: Path<State, Action>) -> String {
    let begin = protocol.config.begin().1;
    let steps = path.into_vec().into_iter();
    let told: Vec<String> = steps.filter_map(|(state, action)| Some(step(&state, action?, begin))).collect();
    told.join("; ")
}

fn step(state: &State, action: Action, begin: Timestamp) -> String {
    match action {
        Action::Begin(who, task) => format!("{} {}", NAMES[who], begins(state, task)),
        Action::Step(who) => format!("{} {}", NAMES[who], does(&state.workers[who])),
        Action::Arrive(place, effect, reply) => {
            let call = &state.wire[place];
            let heard = match reply {
                Reply::Arrives => "",
                Reply::Error => ", a 5xx arrives",
                Reply::Lost => ", the answer is lost",
            };
            format!("gateway: {effect:?} for attempt {}{heard}", call.n)
        }
        Action::Unasked(who) => format!("{}'s question fails", NAMES[who]),
        Action::Blind(who) => format!("{} asks the gateway, which does not see it yet", NAMES[who]),
        Action::TimeOut(who) => format!("{} waits no longer", NAMES[who]),
        Action::Crash(who) => format!("{} dies", NAMES[who]),
        Action::Wait(until) => format!("[{}]", since(begin, until)),
    }
}

fn begins(state: &State, task: Task) -> String {
    let row = &state.rows.subscription;
    match task {
        Task::Due if row.live.is_some() => "finds the attempt".to_owned(),
        Task::Due => "finds it due".to_owned(),
        Task::Hint => "gets a hint".to_owned(),
        Task::Event(_) => "gets the event of the capture".to_owned(),
        Task::Charge => "is asked to charge".to_owned(),
        Task::Cancel => "is asked to cancel".to_owned(),
        Task::NewCard => "gets a new card".to_owned(),
    }
}

fn does(worker: &Pc) -> &'static str {
    match worker {
        Pc::Idle | Pc::Waiting { .. } => "waits",
        Pc::Chosen { .. } => "reads the cycle",
        Pc::Moving { .. } => "cancels the intent",
        Pc::Ready { .. } => "claims",
        Pc::Claimed { again: false, .. } => "sends",
        Pc::Claimed { again: true, .. } => "sends again",
        Pc::Heard { .. } => "settles",
        Pc::Lost { .. } => "reads again",
        Pc::Doubting { .. } => "asks the gateway",
        Pc::Looked { seen: Seen::NotFound, .. } => "acts on having found nothing",
        Pc::Looked { seen: Seen::Failed, .. } => "acts on having heard nothing",
        Pc::Looked { .. } => "acts on what it found",
        Pc::Retiring { due: Retire::CancelNow, .. } => "cancels",
        Pc::Retiring { .. } => "retires it",
        Pc::Replacing { .. } => "puts the card to use",
    }
}

/// `+2d3h`, `+90s`.
fn since(begin: Timestamp, at: Timestamp) -> String {
    let seconds = at.duration_since(begin).as_secs();
    let (days, hours, rest) = (seconds / 86_400, seconds % 86_400 / 3_600, seconds % 3_600);
    match (days, hours) {
        (0, 0) => format!("+{rest}s"),
        (0, _) => format!("+{hours}h{rest}s"),
        (_, _) => format!("+{days}d{hours}h{rest}s"),
    }
}
