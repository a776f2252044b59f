//! Sample rows for the store suites. Ids are random, so that suites can share the tables of a deployed stack.

use domain::access::{Access, Account, AccountRole, EndedSession, PasswordHash, Tries};
use domain::calendar::{Interval, Period};
use domain::charge::{DeclineClass, Doubt, GatewayName, Heard, LiveAttempt, Trigger};
use domain::contact::Contact;
use domain::cycle::{Attempt, Cycle, Outcome, State};
use domain::demo::DemoRequest;
use domain::document::Document;
use domain::dunning::DunningCase;
use domain::event::{Actor, Event, Fact};
use domain::ids::{DemoId, EventId, MethodId, RequestId, RunId, SubscriptionId, TenantId, ulid};
use domain::invoice::{
    self, Buyer, Counter, CreditNote, CreditNoteId, DebitNote, Invoice, InvoiceId, InvoiceLine, PaidBy, RULES,
    Returned, Supplier,
};
use domain::ledger::{self, Entry};
use domain::method::{self, MaskedCard, PaymentMethod, Sealed};
use domain::money::Money;
use domain::movement::{Fee, Kind, Movement};
use domain::onboarding::{self, Application, CheckItem, Consents, Tenant};
use domain::plan::{Addon, Line, Plan, PlanSnapshot};
use domain::run::Run;
use domain::seal::{Chain, Seal};
use domain::settlement::{Booked, Bucket, SettlementRow, Side, Verdict, of_fact};
use domain::subscription::{Status, Subscription};
use domain::tax::{Rail, TaxDocument};
use domain::{Date, Timestamp};
use serde_json::json;
use shared::store::schema::LOG_SHARDS;
use shared::store::{Commit, Control, ForwardedRow, IdempotencyRow, InboxRow, Record, Write};

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// An instant of the suites plus seconds.
pub fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(at("2026-12-01T00:00:00Z").as_second() + seconds).unwrap()
}

pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{:032x}", rand::random::<u128>())
}

pub fn request_id() -> RequestId {
    RequestId::new(ulid(t(0), rand::random()))
}

pub fn subscription_id() -> SubscriptionId {
    request_id().subscription()
}

/// A commit with a fresh id.
pub fn commit(writes: Vec<Write>, events: Vec<Event>) -> Commit {
    Commit { id: unique("c"), writes, events }
}

pub fn insert(record: impl Into<Record>) -> Commit {
    commit(vec![Write::New(record.into())], Vec::new())
}

pub fn replace(record: impl Into<Record>) -> Commit {
    commit(vec![Write::Replace(record.into())], Vec::new())
}

pub fn snapshot() -> PlanSnapshot {
    let line = |code: &str, amount| Line { code: code.to_owned(), amount };
    let lines = vec![line("standard", 77_000), line("extra_branch", 22_000), line("ai_assistant", 33_000)];
    PlanSnapshot { code: "standard".into(), version: 1, interval: Interval::Month, lines, retry_days: vec![1, 3, 7] }
}

pub fn subscription() -> Subscription {
    let id = subscription_id();
    Subscription {
        tenant_id: id.request().tenant(),
        id,
        plan: snapshot(),
        amount: Money::krw(132_000),
        gateway: GatewayName::Toss,
        method_id: MethodId::new(ulid(t(0), rand::random())),
        status: Status::Active,
        anchor: Some(day("2026-11-01")),
        paid: Some(0),
        tries: 0,
        absent: 0,
        due_at: Some(t(0)),
        live: None,
        dunning: None,
        approved_at: Some(t(-86_400)),
        stopped_at: None,
        cancel_at: None,
        first_decline: None,
        parked: false,
        created_at: t(-86_500),
        version: 0,
    }
}

/// As large as an ordinary subscription gets: a live attempt in doubt inside an open dunning case.
pub fn busy_subscription() -> Subscription {
    let row = subscription();
    let doubt = Doubt { heard: Heard::Refusal, empty: 1, last_empty_at: Some(t(7_300)), looks: 12 };
    let live = LiveAttempt {
        index: 101,
        seq: 0,
        n: 4,
        trigger: Trigger::Renewal,
        token: format!("{:032x}", rand::random::<u128>()),
        lease_until: t(90),
        started_at: t(0),
        amount: 132_000,
        gateway: GatewayName::Stripe,
        method_id: row.method_id.clone(),
        secret: "5b6d9f8e-0c1a-4d2b-9e3f-7a8b9c0d1e2f".into(),
        request: 1,
        intent: Some("pi_3QAbCdEfGhIjKlMn0123AbCd".into()),
        unknown: Some(doubt),
    };
    let dunning = DunningCase {
        step: 2,
        opened_at: t(-600_000),
        deadline: t(4_800),
        next_at: Some(t(4_800)),
        class: DeclineClass::Soft,
        code: "NOT_ENOUGH_BALANCE_IN_ACCOUNT".into(),
    };
    Subscription { gateway: GatewayName::Stripe, live: Some(live), dunning: Some(dunning), tries: 4, ..row }
}

pub fn cycle(subscription: &SubscriptionId, index: u32, seq: u32) -> Cycle {
    Cycle {
        subscription_id: subscription.clone(),
        index,
        seq,
        period: Period { start: day("2026-12-01"), end: day("2027-01-01") },
        lines: snapshot().lines,
        amount: Money::krw(132_000),
        state: State::Open,
        attempts: Vec::new(),
        intent: None,
        refunded: 0,
        refunds: Vec::new(),
        dispute: None,
        version: 0,
    }
}

pub fn attempt(n: u32, outcome: Outcome) -> Attempt {
    let declined = outcome == Outcome::Declined;
    Attempt {
        n,
        gateway: GatewayName::Stripe,
        method_id: MethodId::new(ulid(t(0), rand::random())),
        outcome,
        class: declined.then_some(DeclineClass::Soft),
        code: declined.then(|| "insufficient_funds".to_owned()),
        charge_id: Some(format!("ch_3QAbCdEfGhIjKlMn0123AbC{n}")),
        at: t(i64::from(n) * 86_400),
    }
}

pub fn contact() -> Contact {
    Contact { name: "김원장".into(), email: "owner@example.kr".into(), phone: "010-1234-5678".into() }
}

pub fn application() -> Application {
    Application {
        id: request_id(),
        status: onboarding::Status::Submitted,
        business_name: "마음정원 심리상담센터".into(),
        business_number: Some("1234567891".into()),
        category: None,
        region: Some("서울".into()),
        contact: contact(),
        plan_code: "standard".into(),
        addon_codes: vec!["sms".into()],
        note: None,
        checklist: vec![CheckItem { item: "사업자등록증".into(), checked: true }],
        consents: Consents { version: onboarding::CONSENT_TEXT_VERSION.into(), at: t(0) },
        customer_key: unique("customer"),
        stripe_customer: None,
        method_id: None,
        subscription_id: None,
        decision: None,
        submitted_at: t(0),
        version: 0,
    }
}

pub fn tenant() -> Tenant {
    Tenant::of(&application(), t(5))
}

pub fn plan(code: &str, version: u32, on_sale: bool) -> Plan {
    Plan {
        code: code.into(),
        version,
        name: "스탠다드".into(),
        description: "상담사 3인 이하".into(),
        price: Money::krw(77_000),
        interval: Interval::Month,
        addons: vec![Addon { code: "sms".into(), name: "문자".into(), price: Money::krw(11_000) }],
        on_sale,
        retry_days: vec![1, 3, 7],
    }
}

pub fn method(tenant: &TenantId) -> PaymentMethod {
    let sealed = || Sealed { kid: "k1".into(), data: unique("sealed") };
    PaymentMethod {
        id: MethodId::new(ulid(t(0), rand::random())),
        tenant_id: tenant.clone(),
        gateway: GatewayName::Toss,
        status: method::Status::Active,
        card: MaskedCard {
            brand: Some("신한".into()),
            last4: Some("1234".into()),
            exp_month: Some(12),
            exp_year: Some(2030),
        },
        token: sealed(),
        customer: sealed(),
        holder_name: None,
        token_hash: unique("hash"),
        created_at: t(1),
        declined_at: Vec::new(),
        version: 0,
    }
}

pub fn run(started_at: Timestamp) -> Run {
    Run::new(RunId::new(ulid(started_at, rand::random())), Some(t(0)), 1, started_at)
}

pub fn control(name: &str) -> Control {
    Control {
        name: name.into(),
        value: json!({"paused": false, "until": -3, "by": null, "list": [1, "a"]}),
        version: 0,
    }
}

pub fn idempotency() -> IdempotencyRow {
    IdempotencyRow {
        key: unique("caller#POST /x"),
        request_hash: "00ff".into(),
        result: json!({"id": "x"}),
        expires_at: t(86_400),
        version: 0,
    }
}

pub fn inbox() -> InboxRow {
    InboxRow {
        key: unique("stripe#evt"),
        kind: "charge.succeeded".into(),
        outcome: "applied".into(),
        expires_at: t(86_400),
        version: 0,
    }
}

/// An event about `subject`, stamped by its own instant.
pub fn event(subject: &str, at: Timestamp) -> Event {
    let fact = Fact::new("cycle.paid", subject).with("amount", 132_000).with("status", "PAID");
    Event {
        id: EventId::new(ulid(at, rand::random())),
        at,
        kind: fact.kind.to_owned(),
        subject: fact.subject,
        actor: Actor::System("billing_shard".into()),
        reason: None,
        changes: fact.changes,
    }
}

/// The invoice of a subscription's cycle, issued at `issued_at`.
pub fn invoice(subscription: &SubscriptionId, index: u32, issued_at: Timestamp) -> Invoice {
    let billable = domain::charge::Billable { subscription: subscription.clone(), index, seq: 0 };
    let line = |code: &str, amount| InvoiceLine { code: code.into(), name: "스탠다드".into(), amount };
    Invoice {
        id: InvoiceId::of(&billable),
        number: format!("MG-2026-{index:06}"),
        tenant_id: subscription.request().tenant(),
        supplier: Supplier {
            name: "마음정원".into(),
            registration_number: "0000000000".into(),
            representative: "정원".into(),
            address: "서울".into(),
        },
        buyer: Buyer { name: "봄날".into(), registration_number: Some("1234567891".into()) },
        plan: None,
        period: Period { start: day("2026-12-01"), end: day("2027-01-01") },
        lines: vec![line("standard", 99_000), line("ai_assistant", 33_000)],
        supply: 120_000,
        vat: 12_000,
        total: 132_000,
        currency: domain::money::Currency::KRW,
        payment: PaidBy {
            rail: Rail::Card,
            gateway: GatewayName::Toss,
            payment_id: "tviva20261201abc".into(),
            brand: Some("신한".into()),
            last4: Some("1234".into()),
            on: day("2026-12-01"),
        },
        rules: RULES,
        issued_at,
        version: 0,
    }
}

pub fn credit_note(invoice: &Invoice, refund_id: &str) -> CreditNote {
    CreditNote {
        id: CreditNoteId::of(refund_id).unwrap(),
        invoice_id: invoice.id.clone(),
        number: "MGC-2026-000001".into(),
        refund_id: refund_id.into(),
        supply: 10_000,
        vat: 1_000,
        total: 11_000,
        refunded: 11_000,
        currency: invoice.currency,
        gateway: GatewayName::Toss,
        payment_id: invoice.payment.payment_id.clone(),
        origin: "operator".into(),
        on: day("2026-12-02"),
        rules: RULES,
        issued_at: t(90_000),
        version: 0,
    }
}

/// The refund of a credit note came back.
pub fn debit_note(note: &CreditNote) -> DebitNote {
    let back = Returned {
        refund_id: note.refund_id.clone(),
        amount: Money::new(note.total, note.currency),
        vat: note.vat,
        refunded: 0,
        payment_id: note.payment_id.clone(),
        code: "card_closed".into(),
        at: t(95_000),
    };
    invoice::debit_note(note, &back, &Counter::new("MGD-2026".into()), t(96_000)).unwrap().0
}

/// Every kind of document about one invoice, and a counter.
pub fn documents(invoice: &Invoice) -> [Document; 5] {
    let note = credit_note(invoice, &unique("rfd"));
    [
        Document::Invoice(invoice.clone()),
        Document::DebitNote(debit_note(&note)),
        Document::CreditNote(note),
        Document::Tax(TaxDocument::of(invoice, t(5)).unwrap()),
        Document::Counter(Counter { last: 7, ..Counter::new(unique("MG-2026")) }),
    ]
}

pub fn entry(invoice: &Invoice) -> Entry {
    ledger::invoiced(invoice).unwrap()
}

/// Marks of events of a day.
pub fn forwarded(day: Date) -> ForwardedRow {
    let events = vec![event("s", t(0)).id, event("s", t(1)).id];
    ForwardedRow { day, id: unique("mark"), events, expires_at: t(86_400), version: 0 }
}

/// The seal of a day without events.
pub fn seal(day: Date) -> Seal {
    let heads = (0..LOG_SHARDS).map(|shard| Chain::new(day, shard).head()).collect();
    Seal::new(day, heads, None, t(9))
}

/// Somebody asked for a demo at `at`.
pub fn demo_request(at: Timestamp) -> DemoRequest {
    let contact = contact();
    let form = domain::demo::Form {
        name: contact.name,
        email: contact.email,
        phone: Some(contact.phone),
        message: Some("두 지점을 함께 보고 싶습니다.".into()),
    };
    DemoRequest::new(DemoId::new(ulid(at, rand::random())), form, at).unwrap().0
}

/// A capture in a gateway's settlement, matched.
pub fn settlement(gateway: GatewayName, on: Date, id: &str) -> SettlementRow {
    let at = domain::calendar::seoul_midnight(on).unwrap();
    let fee = Fee { amount: 1_234, vat: Some(112), net: 130_766, paid_out_on: Some(day("2026-12-07")) };
    let movement = Movement {
        id: id.to_owned(),
        kind: Kind::Capture,
        order_id: Some("01ARZ3NDEKTSV4RRFFQ69G5FAV-0-0-1".into()),
        payment_id: Some("tviva20261201abc".into()),
        charge_id: None,
        about: None,
        amount: Money::krw(132_000),
        at,
        fee: Some(fee),
    };
    let answers = Some(of_fact("capture", "tviva20261201abc"));
    let verdict = Verdict { bucket: Bucket::Matched, reason: None, explained: 132_000, unexplained: Some(0), answers };
    SettlementRow {
        gateway,
        day: on,
        id: id.to_owned(),
        side: Side::Gateway,
        movement: Some(movement),
        raw: None,
        verdict,
        booked: Booked { fee: Some(1_234), paid_out: None, disputed: false },
        brought: false,
        told: false,
        answered_by: None,
        version: 0,
    }
}

/// One row of each kind that is kept about access. They share a partition key, so that only the sort key tells them apart.
pub fn accesses() -> [Access; 3] {
    let id = unique("access");
    let expires_at = t(86_400);
    let account = Account {
        id: id.clone(),
        role: AccountRole::OpsFinance,
        password_hash: PasswordHash("$argon2id$".to_owned()),
        temporary: "fingerprint".to_owned(),
        sessions_from: t(0).as_second(),
        version: 0,
    };
    let tries = Tries { failures: 7, locked_until: Some(t(60)), expires_at, ..Tries::none(id.clone()) };
    [Access::Account(account), Access::Ended(EndedSession { id, expires_at, version: 0 }), Access::Tries(tries)]
}

/// A row about access as it reads back after its first write.
pub fn stored_once(row: Access) -> Access {
    match row {
        Access::Account(row) => Access::Account(Account { version: 1, ..row }),
        Access::Ended(row) => Access::Ended(EndedSession { version: 1, ..row }),
        Access::Tries(row) => Access::Tries(Tries { version: 1, ..row }),
    }
}
