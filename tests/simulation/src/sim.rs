//! One simulated world: everything the processes, the gateways, the people and the judge share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use domain::calendar::ChargeWindow;
use domain::event::Event;
use domain::ids::SubscriptionId;
use domain::subscription::{Status, Subscription};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use shared::store::memory::Fault;
use shared::store::{Commit, Key, MemoryStore, Record, Write};
use tokio::sync::Notify;

use crate::books::{Books, Names};
use crate::clock::{HOUR, SECOND, Time, duration, sleep};
use crate::gateway::Gateways;
use crate::jobs::Setup;
use crate::mail::Mail;
use crate::process::opened;
use crate::rng::Rng;
use crate::store::{copied, memory};
use crate::trace::{Step, Trace, Who};
use crate::weather::{Kind, Weather};

/// How long a due index may lag behind its table, milliseconds.
const LAG: i64 = 5_000;

/// When a row last changed, and what it was before.
type Change = (i64, Option<Subscription>);

pub struct Sim {
    pub time: Time,
    pub rng: Rng,
    pub setup: Setup,
    pub weather: Mutex<Weather>,
    pub trace: Mutex<Trace>,
    pub books: Mutex<Books>,
    pub mail: Mutex<Mail>,
    pub gateways: Gateways,
    pub store: MemoryStore,
    /// The fault of the next call of the memory store.
    pub fault: Arc<Mutex<Option<Fault>>>,
    /// Something was posted or became due: the driver looks again.
    pub wake: Notify,
    recent: Mutex<Vec<Option<Change>>>,
    /// Rows as committed. Looked up only, never walked.
    rows: Mutex<HashMap<Key, Record>>,
    processes: AtomicU32,
    /// Processes about to freeze, with the key whose next send thaws them.
    holds: Mutex<BTreeMap<u32, String>>,
    resends: Mutex<BTreeMap<String, Arc<Notify>>>,
}

impl Sim {
    /// # Panics
    /// Outside of a tokio runtime with a paused clock.
    #[must_use]
    pub fn new(seed: u64, begin: Timestamp) -> Sim {
        let rng = Rng::new(seed);
        let fault = Arc::new(Mutex::new(None));
        Sim {
            time: Time::beginning(begin),
            weather: Mutex::new(Weather::fair()),
            trace: Mutex::new(Trace::default()),
            books: Mutex::new(Books::default()),
            mail: Mutex::new(Mail::default()),
            gateways: Gateways::new(&rng),
            setup: Setup::drawn(&rng),
            store: memory(&fault),
            fault,
            wake: Notify::new(),
            recent: Mutex::new(Vec::new()),
            rows: Mutex::new(HashMap::new()),
            processes: AtomicU32::new(1),
            holds: Mutex::new(BTreeMap::new()),
            resends: Mutex::new(BTreeMap::new()),
            rng,
        }
    }

    #[must_use]
    pub fn now(&self) -> i64 {
        self.time.now()
    }

    /// When a run may first move a subscription that is due at `due`: scheduled charges wait for their window.
    #[must_use]
    pub fn movable(&self, row: &Subscription, due: i64) -> i64 {
        let charged = row.live.is_none() && row.status == Status::Active && row.cancel_at.is_none();
        let suspends = row.dunning.as_ref().is_some_and(|case| self.time.moment(case.deadline) <= due);
        match self.setup.settings.window {
            Some(window) if charged && !suspends => self.opens(window, due),
            Some(_) | None => due,
        }
    }

    /// The first moment from `at` on that lies in a window, to the hour.
    fn opens(&self, window: ChargeWindow, at: i64) -> i64 {
        let mut open = at;
        while !window.contains(self.time.stamp(open)) {
            open = (open.div_euclid(HOUR) + 1) * HOUR;
        }
        open
    }

    /// Freezes a process at its next await, until this key is sent again.
    pub fn hold(&self, process: u32, key: &str) {
        self.holds.lock().unwrap().insert(process, key.to_owned());
    }

    /// What thaws a process that is to freeze now: a moment after the attempt was sent again, or hours later.
    pub fn held(&self, process: u32) -> Option<impl Future<Output = ()> + Send + 'static> {
        let key = self.holds.lock().unwrap().remove(&process)?;
        let resent = Arc::clone(self.resends.lock().unwrap().entry(key).or_default());
        let moment = self.rng.range(0, SECOND);
        Some(async move {
            let _ = tokio::time::timeout(duration(3 * HOUR), resent.notified()).await;
            sleep(moment).await;
        })
    }

    /// A request leaves under a key.
    pub fn sent(&self, key: &str) {
        if let Some(resent) = self.resends.lock().unwrap().remove(key) {
            resent.notify_waiters();
        }
    }

    /// Whether a partition of the due index holds nothing due by `until`.
    #[must_use]
    pub fn nothing_due(&self, partition: &str, until: Timestamp) -> bool {
        let books = self.books.lock().unwrap();
        let first = books.due_in.get(partition).and_then(|due| due.first());
        first.is_none_or(|(at, _)| *at > self.time.moment(until))
    }

    pub fn next_process(&self) -> u32 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    pub fn step(&self, step: Step) {
        self.trace.lock().unwrap().take(self.now(), step);
    }

    /// A step that carries a word.
    pub fn say(&self, text: &str, step: impl FnOnce(crate::trace::Word) -> Step) {
        let mut trace = self.trace.lock().unwrap();
        let word = trace.word(text);
        trace.take(self.now(), step(word));
    }

    /// Whether a fault strikes here and now.
    #[must_use]
    pub fn strikes(&self, kind: Kind, who: Who) -> bool {
        let struck = self.weather.lock().unwrap().strikes(kind, self.now(), &self.rng);
        if struck {
            self.step(Step::Fault { kind, who });
        }
        struck
    }

    /// Whether a fault is to strike later; it counts when it does.
    #[must_use]
    pub fn likely(&self, kind: Kind) -> bool {
        self.weather.lock().unwrap().likely(kind, self.now(), &self.rng)
    }

    /// A fault that was not drawn by chance.
    pub fn count(&self, kind: Kind, who: Who) {
        self.weather.lock().unwrap().count(kind);
        self.step(Step::Fault { kind, who });
    }

    #[must_use]
    pub fn calm(&self) -> bool {
        self.now() >= self.weather.lock().unwrap().calm_from
    }

    pub fn broken(&self, rule: &'static str, who: Option<Who>, text: String) {
        self.books.lock().unwrap().broken(rule, who, self.now(), text);
        self.wake.notify_one();
    }

    /// Whether a subscription's row changed within the lag of the index, and how it was before.
    #[must_use]
    pub fn recent(&self, id: &SubscriptionId, now: i64) -> Option<(Who, Option<Subscription>)> {
        let who = self.books.lock().unwrap().number(id.ulid())?;
        let recent = self.recent.lock().unwrap();
        let (at, before) = recent.get(usize::from(who))?.as_ref()?;
        (now - at < LAG).then(|| (who, before.clone()))
    }

    /// Keeps a committed row for reading.
    pub fn copy(&self, record: &Record) {
        let key = record.key();
        if copied(&key) {
            self.rows.lock().unwrap().insert(key, counted(record.clone()));
        }
    }

    /// The rows of these keys that are there.
    #[must_use]
    pub fn copies(&self, keys: &[Key]) -> Vec<Record> {
        let rows = self.rows.lock().unwrap();
        keys.iter().filter_map(|key| rows.get(key).cloned()).collect()
    }

    /// A row was committed.
    pub fn written(&self, process: u32, record: &Record) {
        let now = self.now();
        let mut books = self.books.lock().unwrap();
        let (who, row, version) = match record {
            Record::Subscription(row) => {
                let Some(who) = books.number(row.id.ulid()) else { return };
                let before = books.row(who).cloned();
                let row = Subscription { version: row.version + 1, ..row.clone() };
                let version = row.version;
                self.remember(who, now, before);
                let due = row.due_at;
                books.subscription(who, row, now, |at| self.time.moment(at));
                if due.is_some() {
                    self.wake.notify_one();
                }
                (who, "subscription", version)
            }
            Record::Cycle(cycle) => {
                let Some(who) = books.number(cycle.subscription_id.ulid()) else { return };
                let mut cycle = cycle.clone();
                cycle.version += 1;
                let version = cycle.version;
                books.cycle(who, cycle, now);
                (who, "cycle", version)
            }
            Record::Method(method) => {
                let Some(who) = books.number(method.tenant_id.ulid()) else { return };
                let aad = format!("{}#{}", method.tenant_id, method.id);
                let text = |sealed| opened(sealed, &aad).map(|s| s.expose_secret().to_owned()).unwrap_or_default();
                let names = Names { token: text(&method.token), customer: text(&method.customer) };
                books.methods.insert(method.id.clone(), names);
                (who, "method", method.version + 1)
            }
            _ => return,
        };
        let broken = books.violation.is_some();
        drop(books);
        self.say(row, |row| Step::Commit { process, who, row, version });
        if broken {
            self.wake.notify_one();
        }
    }

    fn remember(&self, who: Who, now: i64, before: Option<Subscription>) {
        let mut recent = self.recent.lock().unwrap();
        let slot = usize::from(who);
        if recent.len() <= slot {
            recent.resize(slot + 1, None);
        }
        recent[slot] = Some((now, before));
    }

    /// I4: a capture that meets a subscription that has ended is owed back in the same commit.
    pub fn owed_back(&self, commit: &Commit) {
        let said = |kind: &str| commit.events.iter().any(|event| event.kind == kind);
        let ended = commit.writes.iter().find_map(|write| match write {
            Write::New(Record::Subscription(row)) | Write::Replace(Record::Subscription(row)) => {
                matches!(row.status, Status::Cancelled | Status::Terminated).then_some(row)
            }
            _ => None,
        });
        if let Some(row) = ended.filter(|_| said("payment.captured") && !said("payment.refund_owed")) {
            let who = self.books.lock().unwrap().number(row.id.ulid());
            self.broken("I4 owed back after the end", who, format!("{row:?}"));
        }
    }

    /// A fact was committed.
    pub fn said(&self, process: u32, event: &Event) {
        let mut books = self.books.lock().unwrap();
        let ulid = event.subject.split_once('_').map_or("", |(_, ulid)| ulid);
        let Some(who) = books.number(ulid) else { return };
        let kind = match event.kind.as_str() {
            "payment.captured" => Some("captured"),
            "payment.quarantined" => Some("quarantined"),
            _ => None,
        };
        if let (Some(kind), Some(payment)) = (kind, event.changes.get("paymentId").and_then(|id| id.as_str())) {
            *books.said.entry((payment.to_owned(), kind)).or_insert(0) += 1;
        }
        drop(books);
        self.say(&event.kind, |kind| Step::Fact { process, who, kind });
    }
}

/// A record as it reads back after it was written: one version on.
fn counted(mut record: Record) -> Record {
    match &mut record {
        Record::Application(row) => row.version += 1,
        Record::Tenant(row) => row.version += 1,
        Record::Method(row) => row.version += 1,
        Record::Subscription(row) => row.version += 1,
        Record::Cycle(row) => row.version += 1,
        Record::Run(row) => row.version += 1,
        Record::Control(row) => row.version += 1,
        Record::Document(_)
        | Record::Posting(_)
        | Record::Settlement(_)
        | Record::Statistic(_)
        | Record::Book(_)
        | Record::Access(_)
        | Record::Idempotency(_)
        | Record::Inbox(_)
        | Record::Forwarded(_)
        | Record::Seal(_)
        | Record::Demo(_)
        | Record::Plan(_)
        | Record::Event(_) => {}
    }
    record
}
