//! The customers: ordinary active subscriptions whose renewal fell due at the last Seoul midnight, each with a card.
//! A row is a pure function of its number, so that a store may make it on the fly.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use domain::calendar::{Interval, seoul_date, seoul_midnight};
use domain::charge::GatewayName;
use domain::ids::{MethodId, RequestId};
use domain::method::{MaskedCard, PaymentMethod, Sealed, Status as MethodStatus};
use domain::money::Money;
use domain::plan::{Line, PlanSnapshot};
use domain::subscription::{Status, Subscription};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp, ToSpan};
use shared::ports::Vault;
use shared::store::schema::{RowKey, Table};
use shared::store::{Record, rows};
use ulid::Ulid;

/// Milliseconds of the first application's ULID.
const FIRST: u64 = 1_760_000_000_000;
/// Batches under way while seeding.
const AT_ONCE: usize = 4;
/// Rows of one BatchWriteItem.
const BATCH: usize = 25;

/// What an id with `number` in it looks like; spread over partitions like random ones.
fn ulid(number: u32) -> Ulid {
    let noise = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    Ulid::from_parts(FIRST + u64::from(number), noise)
}

/// The number behind an id made here.
pub fn number(ulid: &str) -> Option<u32> {
    let ms = Ulid::from_string(ulid).ok()?.timestamp_ms();
    ms.checked_sub(FIRST).and_then(|n| u32::try_from(n).ok())
}

/// As a subscription is a month after a payment: due since the midnight before `now`.
pub fn subscription(number: u32, gateway: GatewayName, now: Timestamp) -> Subscription {
    let (id, today) = (RequestId::new(ulid(number)), seoul_date(now));
    let line = |code: &str, amount| Line { code: code.to_owned(), amount };
    let lines = vec![line("standard", 77_000), line("sms", 11_000)];
    let sold = now - SignedDuration::from_hours(24 * 32);
    Subscription {
        id: id.subscription(),
        tenant_id: id.tenant(),
        plan: PlanSnapshot {
            code: "standard".into(),
            version: 1,
            interval: Interval::Month,
            lines,
            retry_days: vec![1, 3, 7],
        },
        amount: Money::krw(88_000),
        gateway,
        method_id: MethodId::new(ulid(number)),
        status: Status::Active,
        anchor: Some(today.saturating_sub(1.month())),
        paid: Some(0),
        tries: 0,
        absent: 0,
        due_at: Some(seoul_midnight(today).expect("today is in range")),
        live: None,
        dunning: None,
        approved_at: Some(sold),
        stopped_at: None,
        cancel_at: None,
        first_decline: None,
        parked: false,
        created_at: sold,
        version: 1,
    }
}

pub fn method(number: u32, gateway: GatewayName, token: Sealed, customer: Sealed, now: Timestamp) -> PaymentMethod {
    let last4 = Some(format!("{:03}*", number % 1_000));
    PaymentMethod {
        id: MethodId::new(ulid(number)),
        tenant_id: RequestId::new(ulid(number)).tenant(),
        gateway,
        status: MethodStatus::Active,
        card: MaskedCard { brand: Some("21".into()), last4, exp_month: None, exp_year: None },
        token,
        customer,
        holder_name: None,
        token_hash: format!("{:032x}", ulid(number).0),
        declined_at: Vec::new(),
        created_at: now - SignedDuration::from_hours(24 * 32),
        version: 1,
    }
}

/// Writes `range` of customers into the tables of a stage.
pub async fn plant(
    client: &Client,
    stage: &str,
    range: std::ops::Range<u32>,
    gateway: GatewayName,
    vault: Arc<dyn Vault>,
    now: Timestamp,
) {
    let chunks: Vec<Vec<u32>> = range.collect::<Vec<_>>().chunks(BATCH / 2).map(<[u32]>::to_vec).collect();
    futures::stream::iter(chunks)
        .for_each_concurrent(AT_ONCE, |chunk| {
            let vault = Arc::clone(&vault);
            async move {
                let mut request = client.batch_write_item();
                let (mut subscriptions, mut methods) = (Vec::new(), Vec::new());
                for number in chunk {
                    let row = subscription(number, gateway, now);
                    let aad = format!("{}#{}", row.tenant_id, row.method_id);
                    let token =
                        vault.seal(&format!("billing-key-{number:012}-{:016x}", ulid(number).0 >> 64), &aad).await;
                    let customer = vault.seal(&format!("customer-{number:024}"), &aad).await;
                    let card = method(number, gateway, token.expect("keys"), customer.expect("keys"), now);
                    subscriptions.push(put(&Record::Subscription(row)));
                    methods.push(put(&Record::Method(card)));
                }
                request = request.request_items(physical(stage, Table::Subscription), subscriptions);
                request = request.request_items(physical(stage, Table::Method), methods);
                let answer = request.send().await.expect("the emulator takes rows");
                assert!(answer.unprocessed_items.unwrap_or_default().is_empty(), "rows left out");
            }
        })
        .await;
}

/// One row as it is, read back by nobody.
pub async fn plant_one(client: &Client, stage: &str, record: &Record) {
    let table = RowKey::of(&record.key()).table;
    let item = rows::encode(record, 1, "seed").expect("a storable row");
    let item = serde_dynamo::aws_sdk_dynamodb_1::to_item(item).expect("attributes");
    client.put_item().table_name(physical(stage, table)).set_item(Some(item)).send().await.expect("stored");
}

fn put(record: &Record) -> WriteRequest {
    let item = rows::encode(record, 1, "seed").expect("a storable row");
    let item = serde_dynamo::aws_sdk_dynamodb_1::to_item(item).expect("attributes");
    WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().expect("a put")).build()
}

pub fn physical(stage: &str, table: Table) -> String {
    format!("{stage}-{}", table.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::charge::Trigger;
    use domain::subscription::Due;

    #[test]
    fn every_customer_owes_one_renewal() {
        for now in ["2026-12-01T01:00:00Z", "2027-03-31T14:00:00Z", "2027-03-01T15:30:00Z"] {
            let now: Timestamp = now.parse().unwrap();
            let row = subscription(41, GatewayName::Toss, now);
            assert_eq!(row.due(now), Ok(Due::Charge(Trigger::Renewal)));
            assert_eq!((number(row.id.ulid()), number(row.method_id.ulid())), (Some(41), Some(41)));
        }
    }

    #[test]
    fn a_row_stays_below_one_write_unit() {
        let row = subscription(1, GatewayName::Toss, "2026-12-01T01:00:00Z".parse().unwrap());
        let item = rows::encode(&Record::Subscription(row), 2, &"w".repeat(26)).unwrap();
        assert!(rows::size(&item) < 800, "{} bytes before an attempt", rows::size(&item));
    }
}
