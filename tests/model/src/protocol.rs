//! The model: which steps a state allows and where they lead.

use std::sync::Arc;

use domain::charge::GatewayName;
use jiff::Timestamp;
use stateright::{Model, Property};

use crate::config::{Config, HORIZON};
use crate::gateway::{ERROR, Effect, Memory, Said, Seen};
use crate::guards::Guards;
use crate::kept::Kept;
use crate::laws;
use crate::state::{HTTP, Pc, Retire, Rows, State, Told, WORKERS};

#[derive(Clone, Debug)]
pub struct Protocol {
    pub config: Config,
    pub guards: Guards,
    /// Judge by this law alone, and tell the two runners apart; by all of them otherwise.
    pub only: Option<&'static str>,
}

/// What an idle worker sets out to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// What is due, as the run finds it.
    Due,
    /// A hint says that the live attempt is worth a look.
    Hint,
    /// The gateway's signed event about a payment.
    Event(u8),
    Charge,
    Cancel,
    NewCard,
}

/// What the sender gets to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Arrives,
    /// A 5xx instead.
    Error,
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Begin(usize, Task),
    Step(usize),
    /// The request at this place of the wire reaches the gateway.
    Arrive(usize, Effect, Reply),
    /// The question fails.
    Unasked(usize),
    /// The look-up does not see what is there: the gateway's index lags behind.
    Blind(usize),
    TimeOut(usize),
    Crash(usize),
    /// Time goes on to then.
    Wait(Timestamp),
}

impl Protocol {
    #[must_use]
    pub fn new(config: Config) -> Self {
        Protocol { config, guards: Guards::default(), only: None }
    }

    fn begin(&self, state: &State, who: usize, task: Task) -> Option<Pc> {
        match task {
            Task::Due => self.run(state),
            Task::Hint => self.look(state),
            Task::Event(which) => {
                let taken = state.gateway.taken.get(usize::from(which))?;
                let told = Told { index: taken.index, n: None, said: Said::Took(which), token: None };
                Some(Pc::Heard { copy: state.read(), told })
            }
            Task::Charge => self.manual(state),
            Task::Cancel => {
                let (at, due) = (state.now, Retire::CancelNow);
                let may = state.rows.subscription.cancelled_as_of(at).is_ok();
                may.then(|| Pc::Retiring { copy: state.read(), at, due, released: false })
            }
            Task::NewCard => Some(Pc::Replacing { copy: state.read(), at: state.now }),
        }
        .filter(|_| state.workers[who] == Pc::Idle)
    }

    fn tasks(&self, state: &State, who: usize, actions: &mut Vec<Action>) {
        if who != HTTP {
            actions.push(Action::Begin(who, Task::Due));
            return;
        }
        let left = state.left;
        if left.events > 0 {
            actions.push(Action::Begin(who, Task::Hint));
            let signed = state.gateway.taken.iter().enumerate().filter(|(_, t)| t.gateway == GatewayName::Stripe);
            actions.extend(signed.map(|(i, _)| Action::Begin(who, Task::Event(u8::try_from(i).unwrap_or(u8::MAX)))));
        }
        let asked = [(left.manual, Task::Charge), (left.cancels, Task::Cancel), (left.cards, Task::NewCard)];
        actions.extend(asked.into_iter().filter(|(n, _)| *n > 0).map(|(_, task)| Action::Begin(who, task)));
    }

    fn arrivals(&self, state: &State, actions: &mut Vec<Action>) {
        for (place, call) in state.wire.iter().enumerate() {
            let replays = state.gateway.meets(call, state.now).is_some();
            let replies = |effect, price: u8, actions: &mut Vec<Action>| {
                for (reply, cost) in [(Reply::Arrives, 0), (Reply::Error, 1), (Reply::Lost, 1)] {
                    if price + cost <= state.left.faults {
                        actions.push(Action::Arrive(place, effect, reply));
                    }
                }
            };
            if replays {
                replies(Effect::Replay, 0, actions);
                continue;
            }
            self.config.effects.iter().for_each(|effect| replies(*effect, 0, actions));
            self.config.faulty.iter().for_each(|effect| replies(*effect, 1, actions));
        }
    }

    /// The next instants at which something changes: a lease, a due time, a key window, a key the gateway forgets.
    fn instants(&self, state: &State) -> Vec<Timestamp> {
        let row = &state.rows.subscription;
        let live = row.live.as_ref();
        let mut instants: Vec<Timestamp> =
            [live.map(|l| l.lease_until), live.map(|l| l.started_at + l.gateway.profile().key_window), row.due_at]
                .into_iter()
                .flatten()
                .chain(state.gateway.forgets())
                .filter(|at| *at > state.now && *at < self.config.begin().1 + HORIZON)
                .collect();
        instants.sort_unstable();
        instants.dedup();
        instants
    }

    fn may_be_blind(&self, state: &State) -> bool {
        let young = |at: Timestamp| state.now.duration_since(at) <= self.config.blind;
        state.left.blind > 0 && state.gateway.latest().is_some_and(young)
    }

    fn price(&self, state: &mut State, task: Task) {
        let left = &mut state.left;
        match task {
            Task::Due => {}
            Task::Hint | Task::Event(_) => left.events -= 1,
            Task::Charge => left.manual -= 1,
            Task::Cancel => left.cancels -= 1,
            Task::NewCard => left.cards -= 1,
        }
    }

    fn arrive(&self, state: &mut State, place: usize, effect: Effect, reply: Reply) {
        let faulty = u8::from(self.config.faulty.contains(&effect)) + u8::from(reply != Reply::Arrives);
        state.left.faults -= faulty;
        let (call, said) = self.execute(state, place, effect);
        match reply {
            Reply::Arrives => self.hear(state, &call, said),
            Reply::Error => self.hear(state, &call, Said::Unknown { heard: ERROR, intent: call.intent }),
            Reply::Lost => {}
        }
    }

    /// Giving up while the request may still arrive is a fault; when nothing can come any more it is not.
    fn give_up(&self, state: &mut State, who: usize) -> Option<()> {
        let Pc::Waiting { claim, .. } = &state.workers[who] else { return None };
        let coming = state.wire.iter().any(|call| call.claim == *claim);
        state.left.faults = state.left.faults.checked_sub(u8::from(coming))?;
        self.time_out(state, who)
    }
}

fn looked(worker: &Pc, seen: Seen) -> Option<Pc> {
    let Pc::Doubting { copy, at } = worker else { return None };
    Some(Pc::Looked { copy: copy.clone(), at: *at, seen })
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let (subscription, now) = self.config.begin();
        vec![State {
            now,
            rows: Rows { subscription: Kept::new(subscription), cycle: None },
            workers: [const { Pc::Idle }; WORKERS],
            wire: Vec::new(),
            gateway: Arc::new(Memory::default()),
            left: self.config.left,
            dead_cards: [false; 2],
            claims: 0,
            taken_at_end: None,
            overlapped: false,
            altered: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (who, pc) in state.workers.iter().enumerate() {
            match pc {
                Pc::Idle => {
                    self.tasks(state, who, actions);
                    continue;
                }
                Pc::Waiting { .. } => actions.push(Action::TimeOut(who)),
                Pc::Doubting { .. } => {
                    actions.push(Action::Step(who));
                    actions.extend((state.left.faults > 0).then_some(Action::Unasked(who)));
                    actions.extend(self.may_be_blind(state).then_some(Action::Blind(who)));
                }
                Pc::Moving { .. } => {
                    actions.push(Action::Step(who));
                    actions.extend((state.left.faults > 0).then_some(Action::Unasked(who)));
                }
                _ => actions.push(Action::Step(who)),
            }
            if state.left.crashes > 0 {
                actions.push(Action::Crash(who));
            }
        }
        self.arrivals(state, actions);
        if state.left.waits > 0 {
            actions.extend(self.instants(state).into_iter().map(Action::Wait));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Begin(who, task) => {
                state.workers[who] = self.begin(last, who, task)?;
                self.price(&mut state, task);
            }
            Action::Step(who) => self.step(&mut state, who)?,
            Action::Arrive(place, effect, reply) => self.arrive(&mut state, place, effect, reply),
            Action::Unasked(who) => {
                state.left.faults -= 1;
                // Nothing may be decided on an intent that may still capture.
                state.workers[who] = looked(&last.workers[who], Seen::Failed).unwrap_or(Pc::Idle);
            }
            Action::Blind(who) => {
                state.left.blind -= 1;
                state.workers[who] = looked(&last.workers[who], Seen::NotFound)?;
            }
            Action::TimeOut(who) => self.give_up(&mut state, who)?,
            Action::Crash(who) => {
                state.left.crashes -= 1;
                state.workers[who] = Pc::Idle;
            }
            Action::Wait(until) => {
                state.left.waits -= 1;
                state.now = until;
                state.wire.retain(|call| call.lost_at > until);
            }
        }
        if self.only.is_none() {
            state.sort_runners();
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        laws::all().into_iter().filter(|law| self.only.is_none_or(|name| name == law.name)).collect()
    }
}
