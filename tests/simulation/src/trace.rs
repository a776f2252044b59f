//! Every externally visible step in order: hashed as it happens, the last ones kept for the report of a violation.
//!
//! Invariant: two runs of one seed take the same steps at the same moments, so their hashes are equal.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};

use domain::charge::GatewayName;

use crate::weather::Kind;

/// A person, and so a subscription, by its number in the seed; [`NOBODY`] where a step is about none.
pub type Who = u16;
pub const NOBODY: Who = u16::MAX;

/// A word seen before, by its number: steps stay small and comparable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Word(pub u16);

/// Kinds of invocations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Job {
    Tick,
    Runner,
    Recovery,
    Webhook,
    Person,
    Operator,
}

impl Job {
    pub const ALL: [Job; 6] = [Job::Tick, Job::Runner, Job::Recovery, Job::Webhook, Job::Person, Job::Operator];
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    Begin { process: u32, job: Job, who: Who },
    End { process: u32, ok: bool },
    Killed { process: u32 },
    Frozen { process: u32, ms: i64 },
    Commit { process: u32, who: Who, row: Word, version: u64 },
    Fact { process: u32, who: Who, kind: Word },
    Asked { gateway: GatewayName, who: Who, index: u32, n: u32, amount: i64 },
    Answered { gateway: GatewayName, who: Who, index: u32, what: Word },
    Captured { gateway: GatewayName, who: Who, index: u32, amount: i64 },
    Declined { gateway: GatewayName, who: Who, index: u32 },
    LookedUp { gateway: GatewayName, who: Who, index: u32, what: Word },
    Hook { who: Who, kind: Word },
    Did { who: Who, what: Word },
    Fault { kind: Kind, who: Who },
}

impl Step {
    fn who(&self) -> Who {
        match *self {
            Step::Begin { who, .. }
            | Step::Commit { who, .. }
            | Step::Fact { who, .. }
            | Step::Asked { who, .. }
            | Step::Answered { who, .. }
            | Step::Captured { who, .. }
            | Step::Declined { who, .. }
            | Step::LookedUp { who, .. }
            | Step::Hook { who, .. }
            | Step::Did { who, .. }
            | Step::Fault { who, .. } => who,
            Step::End { .. } | Step::Killed { .. } | Step::Frozen { .. } => NOBODY,
        }
    }

    fn process(&self) -> Option<u32> {
        match *self {
            Step::Begin { process, .. }
            | Step::End { process, .. }
            | Step::Killed { process }
            | Step::Frozen { process, .. }
            | Step::Commit { process, .. }
            | Step::Fact { process, .. } => Some(process),
            _ => None,
        }
    }
}

/// Steps kept for a report, unless all are asked for.
const KEPT: usize = 6_000;

pub struct Trace {
    hash: Mixer,
    kept: usize,
    pub steps: u64,
    /// Invocations by kind, in the order of [`Job::ALL`].
    pub jobs: [u64; Job::ALL.len()],
    tail: VecDeque<(i64, Step)>,
    words: Vec<String>,
    /// Looked up only, never walked: its order is not the same on every run.
    numbers: HashMap<String, Word>,
}

impl Default for Trace {
    fn default() -> Trace {
        let tail = VecDeque::new();
        Trace {
            hash: Mixer(0x51_7C_C1_B7),
            kept: KEPT,
            steps: 0,
            jobs: [0; Job::ALL.len()],
            tail,
            words: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl Trace {
    /// Keeps every step from now on.
    pub fn keep_all(&mut self) {
        self.kept = usize::MAX;
    }

    pub fn take(&mut self, at: i64, step: Step) {
        (at, step).hash(&mut self.hash);
        self.steps += 1;
        if let Step::Begin { job, .. } = step {
            self.jobs[job as usize] += 1;
        }
        if self.tail.len() >= self.kept {
            self.tail.pop_front();
        }
        self.tail.push_back((at, step));
    }

    /// The number of a word.
    pub fn word(&mut self, text: &str) -> Word {
        if let Some(word) = self.numbers.get(text) {
            return *word;
        }
        let word = Word(u16::try_from(self.words.len()).unwrap());
        self.words.push(text.to_owned());
        self.numbers.insert(text.to_owned(), word);
        word
    }

    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// The last steps about a subscription and about the processes that touched it, one a line.
    #[must_use]
    pub fn tail(&self, who: Option<Who>, most: usize, stamp: impl Fn(i64) -> String) -> String {
        let touched: Vec<u32> = self
            .tail
            .iter()
            .filter(|(_, step)| who.is_some_and(|who| step.who() == who))
            .filter_map(|(_, step)| step.process())
            .collect();
        let about = |step: &Step| match who {
            Some(who) => {
                let bare = step.who() == NOBODY && step.process().is_some_and(|process| touched.contains(&process));
                step.who() == who || bare
            }
            None => true,
        };
        let chosen: Vec<&(i64, Step)> = self.tail.iter().filter(|(_, step)| about(step)).collect();
        let lines = chosen.iter().skip(chosen.len().saturating_sub(most));
        lines.map(|(at, step)| format!("  {}  {}\n", stamp(*at), Shown { step, trace: self })).collect()
    }
}

struct Shown<'a> {
    step: &'a Step,
    trace: &'a Trace,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |word: &Word| self.trace.words.get(usize::from(word.0)).map_or("?", String::as_str);
        match self.step {
            Step::Commit { process, row, version, .. } => write!(f, "#{process} writes {} v{version}", word(row)),
            Step::Fact { process, kind, .. } => write!(f, "#{process} says {}", word(kind)),
            Step::Asked { gateway, index, n, amount, .. } => {
                write!(f, "{} is asked for {amount}, cycle {index}, attempt {n}", gateway.as_str())
            }
            Step::Answered { gateway, index, what, .. } => {
                write!(f, "{} answers about cycle {index}: {}", gateway.as_str(), word(what))
            }
            Step::Captured { gateway, index, amount, .. } => {
                write!(f, "{} CAPTURES {amount} for cycle {index}", gateway.as_str())
            }
            Step::Declined { gateway, index, .. } => write!(f, "{} declines cycle {index}", gateway.as_str()),
            Step::LookedUp { gateway, index, what, .. } => {
                write!(f, "{} looks cycle {index} up: {}", gateway.as_str(), word(what))
            }
            Step::Hook { kind, .. } => write!(f, "webhook {}", word(kind)),
            Step::Did { what, .. } => write!(f, "does {}", word(what)),
            Step::Begin { process, job, .. } => write!(f, "#{process} {job:?} begins"),
            Step::End { process, ok } => write!(f, "#{process} ends {}", if *ok { "well" } else { "in error" }),
            Step::Killed { process } => write!(f, "#{process} is killed"),
            Step::Frozen { process, ms } => write!(f, "#{process} freezes for {ms} ms"),
            Step::Fault { kind, .. } => write!(f, "fault {}", kind.name()),
        }
    }
}

/// A small fixed hash: the same on every run, unlike the standard library's keyed one.
#[derive(Clone, Copy)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }

    fn write_i64(&mut self, n: i64) {
        self.write_u64(u64::from_ne_bytes(n.to_ne_bytes()));
    }

    fn write_isize(&mut self, n: isize) {
        self.write_i64(i64::try_from(n).unwrap());
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(u64::try_from(n).unwrap());
    }
}
