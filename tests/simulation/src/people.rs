//! What applicants, tenants and operators do: apply, enter cards, decide, replace cards at bad moments, press retry,
//! rotate keys. They act on what they can see, now and then, and try again when an answer fails.

use std::sync::{Arc, Mutex};

use domain::cancelling::CancelAt;
use domain::charge::GatewayName;
use domain::contact::Contact;
use domain::event::Actor;
use domain::ids::RequestId;
use domain::onboarding::Verdict;
use domain::subscription::{Status, Subscription};
use shared::store::typed;
use shared::usecase::activate_subscription::retry;
use shared::usecase::cancel_subscription::cancel;
use shared::usecase::change_method::change;
use shared::usecase::charge_subscription::HTTP_PATIENCE;
use shared::usecase::decide_application::{Ruling, decide};
use shared::usecase::owner::Owner;
use shared::usecase::register_method::{Input, OwnedResult, register};
use shared::usecase::set_up_method::set_up;
use shared::usecase::submit_application::{Form, submit};

use crate::clock::{DAY, HOUR, MINUTE, SECOND};
use crate::gateway::bank::Habit;
use crate::mail::Letter;
use crate::process::{End, Process, start};
use crate::sim::Sim;
use crate::trace::{Job, NOBODY, Step, Who};
use crate::weather::Kind;
use crate::world::Config;

/// API Gateway gives up after 29 s, and so does the function.
pub const HTTP: i64 = 29 * SECOND;

/// How often somebody tries to store one and the same card.
const PATIENCE: u32 = 5;

/// Where somebody stands who is not a tenant yet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Has not applied.
    New,
    Applied,
    /// A card is stored; the operator decides.
    Ready,
    /// Approved: the subscription lives.
    Approved,
}

struct Person {
    stage: Stage,
    request: Option<RequestId>,
    gateway: GatewayName,
    /// What the card window returned and is not known to be stored.
    once: Option<(GatewayName, String)>,
    /// How often storing it failed.
    failures: u32,
}

pub struct People {
    all: Mutex<Vec<Person>>,
    length: i64,
    quiet: bool,
}

/// What somebody does next.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Nothing,
    Apply,
    EnterCard(Kind),
    Decide,
    Retry,
    Cancel(CancelAt),
}

impl People {
    #[must_use]
    pub fn new(sim: &Sim, config: &Config, length: i64) -> People {
        let count = config.subscriptions;
        let person = |_| Person {
            stage: Stage::New,
            request: None,
            gateway: *sim.rng.pick(&GatewayName::ALL),
            once: None,
            failures: 0,
        };
        let all = Mutex::new((0..count).map(person).collect());
        // They come over the first days, so that anchors fall around the ends of months.
        for who in 0..count {
            let first_days = if config.quiet { 3 * DAY } else { 6 * DAY };
            sim.post(sim.rng.range(0, first_days), Letter::Person(who));
        }
        if !config.quiet {
            sim.post(DAY, Letter::Operators);
        }
        People { all, length, quiet: config.quiet }
    }

    /// Somebody's turn.
    pub fn act(self: &Arc<Self>, sim: &Arc<Sim>, who: Who) {
        let deed = self.choose(sim, who);
        let what = match deed {
            Deed::Nothing => "nothing",
            Deed::Apply => "apply",
            Deed::EnterCard(kind) => kind.name(),
            Deed::Decide => "decide",
            Deed::Retry => "retry",
            Deed::Cancel(CancelAt::Now) => "cancel",
            Deed::Cancel(CancelAt::PeriodEnd) => "cancel later",
        };
        sim.say(what, |what| Step::Did { who, what });
        match deed {
            Deed::Nothing => self.later(sim, who),
            Deed::Apply => self.apply(sim, who),
            Deed::EnterCard(kind) => self.enter_card(sim, who, kind),
            Deed::Decide => self.decide(sim, who),
            Deed::Retry => self.retry(sim, who),
            Deed::Cancel(at) => self.cancel(sim, who, at),
        }
    }

    fn choose(&self, sim: &Sim, who: Who) -> Deed {
        let (stage, pending) = {
            let all = self.all.lock().unwrap();
            let person = &all[usize::from(who)];
            (person.stage.clone(), person.once.is_some())
        };
        match stage {
            Stage::New => return Deed::Apply,
            Stage::Applied => return Deed::EnterCard(Kind::CardReplaced),
            Stage::Ready => return Deed::Decide,
            Stage::Approved => {}
        }
        let books = sim.books.lock().unwrap();
        let Some(row) = books.row(who) else { return Deed::Decide };
        if row.approved_at.is_none() {
            return Deed::Decide;
        }
        if sim.calm() || self.quiet {
            // An unfinished registration is finished; nobody starts anything new.
            return if pending { Deed::EnterCard(Kind::CardReplaced) } else { Deed::Nothing };
        }
        wish(sim, row, pending)
    }

    /// The next look at one's own affairs: sooner when something is wrong.
    fn later(&self, sim: &Sim, who: Who) {
        let uneasy = sim.books.lock().unwrap().row(who).is_some_and(uneasy);
        let wait = if uneasy { sim.rng.range(10 * MINUTE, 2 * DAY) } else { sim.rng.range(DAY, 8 * DAY) };
        sim.post(wait, Letter::Person(who));
    }

    fn soon(sim: &Sim, who: Who) {
        sim.post(sim.rng.range(5 * SECOND, HOUR), Letter::Person(who));
    }

    fn apply(self: &Arc<Self>, sim: &Arc<Sim>, who: Who) {
        let people = Arc::clone(self);
        let work = move |process: Process| async move {
            let context = process.context(Actor::Applicant(String::new())).await;
            let charging = &process.charging;
            let applied =
                submit(charging.store.as_ref(), charging.random.as_ref(), &context, form(who), |_| Vec::new()).await;
            let Ok(application) = applied else { return false };
            process.sim.books.lock().unwrap().add(who, &application.id.subscription());
            let mut all = people.all.lock().unwrap();
            let person = &mut all[usize::from(who)];
            (person.request, person.stage) = (Some(application.id), Stage::Applied);
            true
        };
        start(sim, Job::Person, who, HTTP, work, move |sim, _| People::soon(sim, who));
    }

    fn enter_card(self: &Arc<Self>, sim: &Arc<Sim>, who: Who, kind: Kind) {
        let (request, gateway, once) = {
            let mut all = self.all.lock().unwrap();
            let person = &mut all[usize::from(who)];
            if kind == Kind::GatewayChanged {
                person.gateway = other(person.gateway);
            }
            let gateway = person.gateway;
            let once = person.once.get_or_insert_with(|| {
                let habit = if self.quiet { Habit::Good } else { Habit::drawn(&sim.rng, sim.now(), self.length) };
                (gateway, sim.gateways.bank.lock().unwrap().enter(who, gateway, habit))
            });
            (person.request.clone(), once.0, once.1.clone())
        };
        let Some(request) = request else { return People::soon(sim, who) };
        let people = Arc::clone(self);
        if people.approved(who) && people.failures(who) == 0 {
            sim.count(kind, who);
        }
        let paid = sim.books.lock().unwrap().row(who).is_some_and(|row| row.paid.is_some());
        let owner = if paid { Owner::Tenant(request.tenant()) } else { Owner::Applicant(request.clone()) };
        let work = move |process: Process| async move {
            let stored = store_card(&process, &request, &owner, gateway, once).await;
            if stored {
                let mut all = people.all.lock().unwrap();
                let person = &mut all[usize::from(who)];
                (person.once, person.failures) = (None, 0);
                if person.stage == Stage::Applied {
                    person.stage = Stage::Ready;
                }
            }
            stored
        };
        let people = Arc::clone(self);
        start(sim, Job::Person, who, HTTP, work, move |sim, end| people.stored(sim, who, end == End::Well));
    }

    /// Whoever failed tries again, less and less eagerly, and some time takes another card.
    fn stored(&self, sim: &Sim, who: Who, well: bool) {
        if well {
            return People::soon(sim, who);
        }
        let failures = {
            let mut all = self.all.lock().unwrap();
            let person = &mut all[usize::from(who)];
            person.failures += 1;
            if person.failures > PATIENCE {
                (person.once, person.failures) = (None, 0);
            }
            person.failures
        };
        sim.post(sim.rng.range(5 * SECOND, HOUR << failures), Letter::Person(who));
    }

    fn failures(&self, who: Who) -> u32 {
        self.all.lock().unwrap()[usize::from(who)].failures
    }

    fn approved(&self, who: Who) -> bool {
        self.all.lock().unwrap()[usize::from(who)].stage == Stage::Approved
    }

    fn decide(self: &Arc<Self>, sim: &Arc<Sim>, who: Who) {
        let people = Arc::clone(self);
        let request = self.all.lock().unwrap()[usize::from(who)].request.clone();
        let Some(id) = request else { return People::soon(sim, who) };
        let work = move |process: Process| async move {
            let ruling = Ruling { id, verdict: Verdict::Approved, note: None, by: "ops".to_owned() };
            let context = process.context(Actor::Operator("ops".to_owned())).await;
            decide(&process.charging, &context, ruling, HTTP_PATIENCE, Vec::new()).await.is_ok()
        };
        let after = move |sim: &Arc<Sim>, _| {
            // What is in the tables counts, not what the operator heard.
            let approved = sim.books.lock().unwrap().row(who).is_some_and(|row| row.approved_at.is_some());
            if approved {
                people.all.lock().unwrap()[usize::from(who)].stage = Stage::Approved;
                return people.later(sim, who);
            }
            People::soon(sim, who);
        };
        start(sim, Job::Operator, who, HTTP, work, after);
    }

    fn retry(self: &Arc<Self>, sim: &Arc<Sim>, who: Who) {
        let request = self.all.lock().unwrap()[usize::from(who)].request.clone();
        let Some(request) = request else { return };
        sim.count(Kind::ManualRetry, who);
        let actor = if sim.rng.below(2) == 0 {
            Actor::Operator("ops".to_owned())
        } else {
            Actor::Tenant(request.tenant().to_string())
        };
        let work = move |process: Process| async move {
            let context = process.context(actor).await;
            retry(&process.charging, &context, &request.subscription(), HTTP_PATIENCE).await.is_ok()
        };
        let people = Arc::clone(self);
        start(sim, Job::Person, who, HTTP, work, move |sim, _| people.later(sim, who));
    }
}

impl People {
    fn cancel(self: &Arc<Self>, sim: &Arc<Sim>, who: Who, at: CancelAt) {
        let request = self.all.lock().unwrap()[usize::from(who)].request.clone();
        let Some(request) = request else { return };
        sim.count(if at == CancelAt::Now { Kind::Cancelled } else { Kind::CancelledLater }, who);
        sim.books.lock().unwrap().leavers.insert(who);
        let work = move |process: Process| async move {
            let context = process.context(Actor::Tenant(request.tenant().to_string())).await;
            cancel(&process.charging, &context, &request.subscription(), at, None, &[]).await.is_ok()
        };
        let people = Arc::clone(self);
        start(sim, Job::Person, who, HTTP, work, move |sim, _| people.later(sim, who));
    }
}

/// What a tenant with this subscription feels like doing.
fn wish(sim: &Sim, row: &Subscription, pending: bool) -> Deed {
    let often = |n: u32| sim.rng.chance(n);
    if pending {
        return Deed::EnterCard(Kind::CardReplaced);
    }
    if matches!(row.status, Status::Cancelled | Status::Terminated) {
        return Deed::Nothing;
    }
    let other_gateway = often(1_500);
    let card = |kind| Deed::EnterCard(if other_gateway { Kind::GatewayChanged } else { kind });
    match () {
        () if row.live.is_some() && often(3_000) => card(Kind::CardReplacedInFlight),
        () if row.live.is_some() && often(3_000) => Deed::Retry,
        () if uneasy(row) && often(4_000) => card(Kind::CardReplacedInDunning),
        () if uneasy(row) && often(3_000) => Deed::Retry,
        () if often(800) => card(Kind::CardReplaced),
        () if often(500) => Deed::Retry,
        () if often(50) => Deed::Cancel(CancelAt::Now),
        () if often(70) => Deed::Cancel(CancelAt::PeriodEnd),
        () => Deed::Nothing,
    }
}

fn uneasy(row: &Subscription) -> bool {
    row.dunning.is_some() || row.first_decline.is_some() || row.status == Status::Suspended || row.live.is_some()
}

fn other(gateway: GatewayName) -> GatewayName {
    match gateway {
        GatewayName::Toss => GatewayName::Stripe,
        GatewayName::Stripe => GatewayName::Toss,
    }
}

/// Prepares the window and stores what it returned.
async fn store_card(process: &Process, request: &RequestId, owner: &Owner, gateway: GatewayName, once: String) -> bool {
    let charging = &process.charging;
    let (store, random) = (charging.store.as_ref(), charging.random.as_ref());
    if set_up(store, &charging.gateways, random, owner, gateway, &once).await.is_err() {
        return false;
    }
    let Ok(Some(application)) = typed::application(store, request).await else { return false };
    let result = match gateway {
        GatewayName::Toss => OwnedResult::Toss { auth_key: once, customer_key: application.customer_key },
        GatewayName::Stripe => OwnedResult::SetupIntent(once),
    };
    let address = "127.0.0.1".to_owned();
    let input = Input { gateway, result, holder_name: None, address, per_address: 1_000_000 };
    let context = process.context(Actor::Tenant(request.tenant().to_string())).await;
    let Ok(registered) = register(charging, &context, owner, input, HTTP_PATIENCE).await else { return false };
    let unused = registered.subscription.as_ref().is_some_and(|s| s.method_id != registered.method.id);
    if unused && process.sim.rng.below(2) == 0 {
        let who = process.sim.books.lock().unwrap().number(request.ulid()).unwrap_or(NOBODY);
        process.sim.count(Kind::CardChanged, who);
        let id = request.subscription();
        let _ = change(charging, &context, &id, &registered.method.id, HTTP_PATIENCE).await;
    }
    true
}

fn form(who: Who) -> Form {
    Form {
        business_name: format!("Shop {who}"),
        business_number: None,
        category: None,
        region: None,
        contact: Contact {
            name: "Kim".to_owned(),
            email: "a@example.kr".to_owned(),
            phone: "010-1234-5678".to_owned(),
        },
        plan_code: if who.is_multiple_of(3) { "starter" } else { "standard" }.to_owned(),
        addon_codes: Vec::new(),
        note: None,
        checklist: Vec::new(),
        consents: [true; 3],
    }
}
