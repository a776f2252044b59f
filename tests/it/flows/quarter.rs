//! A simulated quarter at both gateways, over the sandbox's own wires: three month ends, partial refunds, refunds in the
//! consoles, a dispute, fees and pay-outs, reconciled every morning. No event of a gateway is delivered: what happens there
//! is known from its lists alone. At the end every won is explained and the ledger ties to what the gateways hold.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::Date;
use domain::calendar::{seoul_date, seoul_midnight};
use domain::charge::GatewayName;
use domain::event::{Actor, Event};
use domain::ids::{RefundId, SubscriptionId, ulid};
use domain::invoice::Supplier;
use domain::ledger::{Account, month_of};
use domain::money::Currency;
use domain::movement::{Kind, Listed, Movement};
use domain::refund::Wish;
use domain::settlement::{Bucket, SettlementRow, UNEXPLAINED};
use jiff::{SignedDuration, ToSpan};
use serde_json::{Value, json};
use shared::gateway::statements::{Accounts, Statement, Statements, Window};
use shared::gateway::stripe::Stripe;
use shared::gateway::toss::Toss;
use shared::gateway::{GatewayError, Gateways};
use shared::ports::Context;
use shared::store::{Query, typed};
use shared::usecase::month_summary::summarise;
use shared::usecase::owner::Owner;
use shared::usecase::reconcile::{Desk, ReconcileError, Report, reconcile, window};
use shared::usecase::refund_payment::request;
use shared::usecase::register_method::{Input, OwnedResult, register};
use shared::usecase::send_refund::{Place, advance};
use shared::usecase::write_documents::{Desk as Writer, write};

use super::world::World;
use crate::gateway_house::{House, key};

const PATIENCE: Duration = Duration::from_secs(20);
const TOSS: GatewayName = GatewayName::Toss;
const STRIPE: GatewayName = GatewayName::Stripe;

/// Changes a row of a list on its way to us; an empty answer drops it.
pub type Bend = Box<dyn Fn(Listed) -> Vec<Listed> + Send + Sync>;

/// A gateway's lists, bent on demand.
pub struct Bent {
    lists: Box<dyn Statements>,
    pub movements: Mutex<Option<Bend>>,
    pub settled: Mutex<Option<Bend>>,
}

fn bent(page: Statement, bend: &Mutex<Option<Bend>>) -> Statement {
    let bend = bend.lock().unwrap();
    let Some(bend) = bend.as_ref() else { return page };
    Statement { rows: page.rows.into_iter().flat_map(bend).collect(), ..page }
}

#[async_trait]
impl Statements for Bent {
    fn name(&self) -> GatewayName {
        self.lists.name()
    }

    async fn movements(&self, window: &Window<'_>) -> Result<Statement, GatewayError> {
        Ok(bent(self.lists.movements(window).await?, &self.movements))
    }

    async fn settled(&self, day: Date, after: Option<&str>) -> Result<Statement, GatewayError> {
        Ok(bent(self.lists.settled(day, after).await?, &self.settled))
    }
}

/// Both gateways, the use cases over them, and a clock they share.
pub struct Trade {
    pub world: World,
    pub house: House,
    pub toss: Arc<Bent>,
    pub stripe: Arc<Bent>,
    /// The last day of a month of 31 days, in the sandbox's future: its clock never goes back.
    pub begin: Date,
}

impl Trade {
    pub async fn open() -> Trade {
        let (mut world, house) = (World::new().await, House::open().await);
        let gateway = |name| Arc::from(house.gateway(name));
        world.charging.gateways = Gateways { toss: gateway(TOSS), stripe: gateway(STRIPE) };
        let keys = |name| Arc::new(vec![key(name)]);
        let bent = |lists| Arc::new(Bent { lists, movements: Mutex::default(), settled: Mutex::default() });
        let url = house.sandbox.url.clone();
        let toss = bent(Box::new(Toss::new(house.client.clone(), url.clone(), keys(TOSS))) as Box<dyn Statements>);
        let stripe = bent(Box::new(Stripe::new(house.client.clone(), url, keys(STRIPE))));
        let mut begin = seoul_date(house.now().await).last_of_month();
        while begin.day() != 31 || begin <= seoul_date(house.now().await) {
            begin = begin.saturating_add(1.month()).last_of_month();
        }
        let trade = Trade { world, house, toss, stripe, begin };
        trade.morning(0, 10).await;
        trade
    }

    /// Travels to an hour (Seoul) of a day after the beginning.
    pub async fn morning(&self, days: i64, hour: i64) {
        let day = self.begin.saturating_add(days.days());
        let at = seoul_midnight(day).unwrap() + SignedDuration::from_hours(hour);
        self.world.travel(at);
        self.house.turn("/__sandbox/clock", json!({ "now": at.to_string() })).await;
    }

    pub fn day(&self, days: i64) -> Date {
        self.begin.saturating_add(days.days())
    }

    pub async fn onboard(&self, name: GatewayName) -> SubscriptionId {
        let id = self.world.apply().await;
        let application = typed::application(&self.world.store, &id).await.unwrap().unwrap();
        let customer_key = application.customer_key;
        let result = match name {
            GatewayName::Toss => {
                let auth_key = self.house.auth_key(&customer_key, "approved").await;
                OwnedResult::Toss { auth_key, customer_key }
            }
            GatewayName::Stripe => OwnedResult::PaymentMethod("pm_card_visa".to_owned()),
        };
        let address = "127.0.0.1".to_owned();
        let input = Input { gateway: name, result, holder_name: None, address, per_address: 1_000 };
        let context = self.world.context().await;
        register(&self.world.charging, &context, &Owner::Applicant(id.clone()), input, PATIENCE).await.unwrap();
        self.world.approve(&id).await;
        id.subscription()
    }

    pub async fn refund(&self, id: &SubscriptionId, index: u32, amount: i64) -> RefundId {
        let place = Place { subscription: id.clone(), index, seq: 0 };
        let context = Context { actor: Actor::Operator("kim".to_owned()), ..self.world.context().await };
        let refund = RefundId::new(ulid(context.now, self.world.charging.random.bits()));
        let (amount, limit) = (Some(amount), None);
        let wish = Wish { id: refund.clone(), amount, reason: "asked".into(), by: "kim".into(), limit };
        request(&self.world.charging, &context, &place, &wish, &[]).await.unwrap();
        advance(&self.world.charging, &context, &place, &refund, PATIENCE).await.unwrap();
        refund
    }

    pub async fn payment(&self, id: &SubscriptionId, index: u32) -> String {
        let cycle = typed::cycle(&self.world.store, id, index, 0).await.unwrap().unwrap();
        cycle.payment().unwrap().0.payment_id.clone()
    }

    /// Somebody gives money back in the gateway's console.
    pub async fn by_hand(&self, payment: &str, amount: i64) {
        self.house.turn("/__sandbox/refunds", json!({ "paymentId": payment, "amount": amount })).await;
    }

    pub async fn dispute(&self, payment: &str, status: &str) {
        self.house.turn("/__sandbox/disputes", json!({ "paymentId": payment, "status": status })).await;
    }

    /// What the daily Lambda does.
    pub async fn reconcile(&self) -> Report {
        let report = self.try_reconcile().await.unwrap();
        assert!(report.complete(), "{report:?}");
        report
    }

    pub async fn try_reconcile(&self) -> Result<Report, ReconcileError> {
        let context = Context { actor: Actor::System("reconcile".to_owned()), ..self.world.context().await };
        let accounts = Accounts { toss: self.toss.clone(), stripe: self.stripe.clone() };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(900);
        let desk = Desk {
            charging: &self.world.charging,
            accounts: &accounts,
            context: &context,
            deadline,
            booking: tokio::sync::Mutex::default(),
        };
        let days = window(context.now);
        reconcile(&desk, &days, days.last().copied()).await
    }

    /// Every event so far, oldest first.
    pub async fn events(&self) -> Vec<Event> {
        let rows = self.world.store.dump().into_iter().filter(|(table, _)| *table == "ops_audit_log");
        let mut ids: Vec<String> = rows.map(|(_, item)| item["sk"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        let mut events = Vec::new();
        for id in ids {
            let id = domain::ids::EventId::parse(&id).unwrap();
            events.push(typed::event(&self.world.store, &id).await.unwrap().unwrap());
        }
        events
    }

    pub async fn alerts(&self) -> usize {
        self.events().await.iter().filter(|event| event.kind == UNEXPLAINED).count()
    }

    /// What the documents queue brings about: every event is heard, again and again.
    pub async fn documents(&self) {
        let text = |text: &str| text.to_owned();
        let supplier = Supplier {
            name: text("마음정원"),
            registration_number: text("0000000000"),
            representative: text("정원"),
            address: text("서울"),
        };
        let random = self.world.charging.random.as_ref();
        let desk = Writer { store: &self.world.store, random, supplier: &supplier };
        for event in self.events().await {
            write(&desk, &self.world.context().await, &event).await.unwrap();
        }
    }

    /// Every row of the settlement table.
    pub async fn rows(&self) -> Vec<SettlementRow> {
        let mut found = Vec::new();
        for gateway in GatewayName::ALL {
            for days in -1..80 {
                let (query, mut cursor) = (Query::SettlementsOf { gateway, day: self.day(days) }, None::<String>);
                loop {
                    let page = typed::list(&self.world.store, &query, 100, cursor.as_deref()).await.unwrap();
                    found.extend(page.0);
                    cursor = page.1;
                    if cursor.is_none() {
                        break;
                    }
                }
            }
        }
        found
    }

    /// Everything a gateway lists, as it is.
    async fn listed(&self, lists: &Bent) -> Vec<Movement> {
        let (from, until) = (seoul_midnight(self.begin).unwrap(), seoul_midnight(self.day(90)).unwrap());
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let window = Window { from, until, after: after.as_deref() };
            let page = lists.movements(&window).await.unwrap();
            found.extend(page.rows.into_iter().map(|row| match row {
                Listed::Movement(moved) => moved,
                Listed::Unreadable { raw, .. } => panic!("{raw}"),
            }));
            after = page.after;
            if after.is_none() {
                return found;
            }
        }
    }
}

/// Rows of the tables that reconciliation writes, without what differs from try to try.
pub fn written(trade: &Trade) -> Vec<Value> {
    let tables = ["settlement", "posting", "subscription_cycle"];
    let rows = trade.world.store.dump().into_iter().filter(|(table, _)| tables.contains(table));
    let plain = |(_, mut item): (&str, serde_json::Map<String, Value>)| {
        item.remove("w");
        Value::Object(item)
    };
    rows.map(plain).collect()
}

async fn net(trade: &Trade, lists: &Bent) -> i64 {
    let rows = trade.listed(lists).await;
    let mut sum = 0;
    let mut days: Vec<Date> = rows.iter().map(|row| seoul_date(row.at)).collect();
    days.dedup();
    days.sort();
    days.dedup();
    if lists.name() == STRIPE {
        return rows.iter().map(|row| row.fee.as_ref().unwrap().net).sum();
    }
    for day in days {
        for row in lists.settled(day, None).await.unwrap().rows {
            let Listed::Movement(row) = row else { panic!("{row:?}") };
            sum += row.fee.unwrap().net;
        }
    }
    sum
}

#[tokio::test]
async fn a_quarter_is_explained_to_the_last_won() {
    let trade = Trade::open().await;
    let mut subscriptions = Vec::new();
    for name in [TOSS, TOSS, STRIPE, STRIPE] {
        subscriptions.push(trade.onboard(name).await);
    }
    let [t1, t2, s1, s2] = &subscriptions[..] else { panic!("four") };
    let ends = [31, 31 + i64::from(trade.day(31).saturating_add(1.day()).days_in_month())];
    for days in 1..ends[1] + 10 {
        trade.morning(days, 5).await;
        trade.reconcile().await;
        trade.morning(days, 10).await;
        match days {
            3 => {
                trade.refund(t1, 0, 10_000).await;
                trade.refund(s1, 0, 5_000).await;
            }
            5 => trade.by_hand(&trade.payment(t2, 0).await, 3_000).await,
            6 => trade.by_hand(&trade.payment(s1, 0).await, 4_001).await,
            33 => trade.dispute(&trade.payment(s2, 1).await, "needs_response").await,
            40 => trade.dispute(&trade.payment(s2, 1).await, "won").await,
            41 => trade.dispute(&trade.payment(s1, 1).await, "needs_response").await,
            44 => trade.dispute(&trade.payment(s1, 1).await, "lost").await,
            50 => drop(trade.refund(t2, 1, 44_000).await),
            _ => trade.world.run().await,
        }
        trade.documents().await;
    }
    for id in &subscriptions {
        assert_eq!(trade.world.subscription(id).await.paid, Some(2), "three month ends");
    }
    let rows = trade.rows().await;
    let open: Vec<_> = rows.iter().filter(|row| row.verdict.bucket != Bucket::Matched).collect();
    assert!(open.is_empty(), "{open:#?}");
    let count = |kind: Kind| rows.iter().filter(|row| row.movement.as_ref().is_some_and(|m| m.kind == kind)).count();
    assert_eq!([Kind::Capture, Kind::Refund, Kind::Dispute, Kind::DisputeReturned].map(count), [12, 5, 2, 1]);
    assert_eq!(trade.alerts().await, 0);
    let lost = typed::cycle(&trade.world.store, s1, 1, 0).await.unwrap().unwrap();
    assert_eq!(lost.dispute.unwrap().amount, 44_000, "nobody told us of it but the list");
    ties(&trade).await;
    let before = trade.world.store.dump();
    trade.morning(ends[1] + 9, 11).await;
    trade.reconcile().await;
    assert_eq!(trade.world.store.dump(), before, "a second pass changes nothing");
}

/// Every month balances and ties to its documents; clearing is what the gateways still hold, the bank what they paid out.
async fn ties(trade: &Trade) {
    let (mut clearing, mut bank, mut disputes) = (0, 0, 0);
    for months in 0..5 {
        let month = month_of(trade.begin.first_of_month().saturating_add(i64::from(months).months()));
        let summary = summarise(&trade.world.store, &month).await.unwrap();
        assert!(summary.complete && summary.month.balanced() && summary.month.ties(), "{month}: {summary:?}");
        let net = |account| summary.month.accounts.get(&(Currency::KRW, account)).map_or(0, |b| b.net());
        clearing += net(Account::GatewayClearing);
        bank += net(Account::Bank);
        disputes += net(Account::Disputes);
    }
    let (toss, stripe) = (net(trade, &trade.toss).await, net(trade, &trade.stripe).await);
    assert_eq!(clearing, i128::from(stripe), "what Stripe holds; Toss has paid everything out");
    assert_eq!(bank, i128::from(toss));
    assert_eq!(disputes, 44_000, "one lost, one won");
    assert!(toss > 0 && stripe > 0);
}

/// A day at a time, as an operator asks for it; a day that is not over has no list.
#[tokio::test]
async fn only_days_that_are_over_are_reconciled() {
    let trade = Trade::open().await;
    let id = trade.onboard(TOSS).await;
    trade.morning(1, 5).await;
    let context = trade.world.context().await;
    let accounts = Accounts { toss: trade.toss.clone(), stripe: trade.stripe.clone() };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(900);
    let desk = Desk {
        charging: &trade.world.charging,
        accounts: &accounts,
        context: &context,
        deadline,
        booking: tokio::sync::Mutex::default(),
    };
    let today = reconcile(&desk, &[trade.day(1)], None).await;
    assert!(matches!(today, Err(ReconcileError::NotOver)), "{today:?}");
    let report = reconcile(&desk, &[trade.day(0)], None).await.unwrap();
    assert_eq!(report.passes.iter().map(|pass| (pass.rows, pass.changed)).collect::<Vec<_>>(), [(1, 1), (0, 0)]);
    assert_eq!(trade.rows().await[0].movement.as_ref().unwrap().payment_id, Some(trade.payment(&id, 0).await));
    // Without time nothing is asked, nothing is lost, and the next pass does it.
    let late = Desk { deadline: tokio::time::Instant::now(), ..desk };
    assert!(!reconcile(&late, &[trade.day(0)], None).await.unwrap().complete());
}
