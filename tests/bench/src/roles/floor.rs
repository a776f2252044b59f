//! The floor of a renewal: the same requests to the same store and gateway, sent by the same clients at the same pace,
//! with no rule, no row type, no encryption, no record of anything. What is left is the SDK, the HTTP client and the
//! copying of rows as large as ours.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use domain::charge::GatewayName;
use domain::subscription::due_partitions;
use serde_json::{Value, json};
use shared::gateway::transport;
use shared::store::schema::Table;
use tokio::task::JoinSet;

use crate::process::{cpu, peak_kib, say};
use crate::seed::physical;

type Item = HashMap<String, AttributeValue>;

/// Keys of a page, and one more to see whether there is a next.
const PAGE: i32 = 101;
const NO_OLD_ROW: &str = "attribute_not_exists(pk)";

struct Floor {
    client: Client,
    http: reqwest::Client,
    stage: String,
    toss: String,
    until: i64,
    live: AttributeValue,
    cycle: Item,
    event: Item,
}

struct Page {
    rows: Vec<Item>,
    next: Option<Item>,
}

/// `spec`: `{"rate": per second, "stage": name, "store": endpoint, "toss": base}`.
pub async fn run(spec: &Value) {
    let floor = Arc::new(Floor::new(spec));
    let gap = Duration::from_secs(1) / u32::try_from(spec["rate"].as_u64().expect("a rate")).expect("a rate");
    let before = cpu(None);
    // A run looks at everything once before it begins, for its forecast.
    for partition in due_partitions(GatewayName::Toss) {
        let mut page = floor.page(&partition, None).await;
        while let Some(next) = page.next {
            page = floor.page(&partition, Some(next)).await;
        }
    }
    let (mut flying, mut tick, mut renewed) = (JoinSet::new(), tokio::time::interval(gap), 0_u64);
    for partition in due_partitions(GatewayName::Toss) {
        let mut page = floor.page(&partition, None).await;
        loop {
            assert_eq!(floor.cards(&page.rows).await, page.rows.len(), "a card each");
            for row in page.rows {
                tick.tick().await;
                flying.spawn(Arc::clone(&floor).renew(row));
                renewed += 1;
                while let Some(done) = flying.try_join_next() {
                    done.expect("a renewal ends");
                }
            }
            let Some(next) = page.next else { break };
            page = floor.page(&partition, Some(next)).await;
        }
    }
    while let Some(done) = flying.join_next().await {
        done.expect("a renewal ends");
    }
    let spent = cpu(None) - before;
    say(
        &json!({ "cpuMicros": u64::try_from(spent.as_micros()).unwrap_or(0), "settled": renewed, "peakKib": peak_kib() }),
    );
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn whole(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn attributes(value: Value) -> Item {
    serde_dynamo::aws_sdk_dynamodb_1::to_item(value).expect("attributes")
}

impl Floor {
    fn new(spec: &Value) -> Floor {
        let field = |name: &str| spec[name].as_str().expect("a text").to_owned();
        let method = "mth_01KB8Y3M000000000000000002";
        let live = json!({"live": {"index": 1, "seq": 0, "n": 1, "trigger": "RENEWAL", "token": "01KBAVXJ7MZQ8R5T2W4Y6A9C1E",
            "lease": 1_796_346_090_000_i64, "at": 1_796_346_000_000_i64, "amount": 88_000, "gateway": "toss", "methodId": method,
            "secret": "5b6d9f8e-0c1a-4d2b-9e3f-7a8b9c0d1e2f", "request": 1}});
        let cycle = json!({"pk": "", "sk": "000001#0000", "index": 1, "seq": 0, "period": {"start": "2026-12-01", "end": "2027-01-01"},
            "lines": [{"code": "standard", "amount": 77_000}, {"code": "sms", "amount": 11_000}],
            "amount": {"amount": 88_000, "currency": "KRW"}, "status": "PAID", "at": 1_796_346_000_000_i64, "refunded": 0,
            "paymentId": "tbench2026120101KB8Y3M000000000000000001-1-0-1", "v": 1, "w": "01KBAVXJ7MZQ8R5T2W4Y6A9C1E",
            "attempts": [{"n": 1, "gateway": "toss", "methodId": method, "outcome": "SUCCEEDED", "at": 1_796_346_000_000_i64}]});
        let event = json!({"pk": "2026-12-01#3", "sk": "", "by_subject_pk": "", "by_subject_sk": "", "at": 1_796_346_000_000_i64,
            "kind": "payment.captured", "actor": {"kind": "SYSTEM", "id": "billing_run"}, "v": 1, "w": "01KBAVXJ7MZQ8R5T2W4Y6A9C1E",
            "changes": {"index": 1, "amount": 88_000, "currency": "KRW", "orderId": "01KB8Y3M000000000000000001-1-0-1",
                "paymentId": "tbench2026120101KB8Y3M000000000000000001-1-0-1"}});
        Floor {
            client: crate::aws::client(&field("store")),
            http: transport::client().expect("a client"),
            stage: field("stage"),
            toss: field("toss"),
            until: functions::wall().as_millisecond() + 900_000,
            live: attributes(live).remove("live").expect("it is there"),
            cycle: attributes(cycle),
            event: attributes(event),
        }
    }

    fn table(&self, table: Table) -> String {
        physical(&self.stage, table)
    }

    /// The next hundred keys of a partition, and their rows.
    async fn page(&self, partition: &str, start: Option<Item>) -> Page {
        let request = self.client.query().table_name(self.table(Table::Subscription)).index_name("due").limit(PAGE);
        let request = request.key_condition_expression("due_pk = :pk AND due_sk <= :until").scan_index_forward(true);
        let request = request.expression_attribute_values(":pk", text(partition)).set_exclusive_start_key(start);
        let answer = request.expression_attribute_values(":until", whole(self.until)).send().await.expect("a page");
        let mut keys = answer.items.unwrap_or_default();
        let more = keys.len() > 100;
        keys.truncate(100);
        let next = keys.last().filter(|_| more).cloned();
        let key = |item: &Item| Item::from([("pk".to_owned(), item["pk"].clone())]);
        let rows = self.batch(Table::Subscription, keys.iter().map(key).collect()).await;
        Page { rows, next }
    }

    async fn cards(&self, rows: &[Item]) -> usize {
        let key = |row: &Item| {
            Item::from([("pk".to_owned(), row["by_tenant_pk"].clone()), ("sk".to_owned(), row["methodId"].clone())])
        };
        self.batch(Table::Method, rows.iter().map(key).collect()).await.len()
    }

    async fn batch(&self, table: Table, keys: Vec<Item>) -> Vec<Item> {
        if keys.is_empty() {
            return Vec::new();
        }
        let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build().expect("keys");
        let answer = self.client.batch_get_item().request_items(self.table(table), request).send().await;
        answer.expect("rows").responses.unwrap_or_default().into_values().next().unwrap_or_default()
    }

    /// One claim, one call, one transaction of three rows.
    async fn renew(self: Arc<Self>, row: Item) {
        let id = row["pk"].as_s().expect("a key").clone();
        let mut claimed = row.clone();
        claimed.insert("live".to_owned(), self.live.clone());
        claimed.insert("v".to_owned(), whole(2));
        claimed.insert("w".to_owned(), text("01KBAVXJ7MZQ8R5T2W4Y6A9C1E"));
        let request = self.client.put_item().table_name(self.table(Table::Subscription)).set_item(Some(claimed));
        let request = request.condition_expression("v = :v").expression_attribute_values(":v", whole(1));
        let request = request.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        request.send().await.expect("claimed");
        self.call(&id).await;
        let mut paid = row;
        paid.insert("v".to_owned(), whole(3));
        paid.insert("w".to_owned(), text("01KBAVXJ7MZQ8R5T2W4Y6A9C1F"));
        paid.insert("paid".to_owned(), whole(1));
        paid.insert("due_sk".to_owned(), whole(self.until + 2_600_000_000));
        let (mut cycle, mut event) = (self.cycle.clone(), self.event.clone());
        cycle.insert("pk".to_owned(), text(&id));
        event.insert("sk".to_owned(), text(id.replace("sub_", "evt_")));
        event.insert("by_subject_sk".to_owned(), text(id.replace("sub_", "evt_")));
        event.insert("by_subject_pk".to_owned(), text(&id));
        let put = |table, item| Put::builder().table_name(self.table(table)).set_item(Some(item));
        let put = |table, item| {
            put(table, item).return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        };
        let replace = put(Table::Subscription, paid).condition_expression("v = :v");
        let puts = [
            replace.expression_attribute_values(":v", whole(2)),
            put(Table::Cycle, cycle).condition_expression(NO_OLD_ROW),
            put(Table::AuditLog, event).condition_expression(NO_OLD_ROW),
        ];
        let members = puts.map(|put| TransactWriteItem::builder().put(put.build().expect("a put")).build()).to_vec();
        let request = self.client.transact_write_items().set_transact_items(Some(members));
        let token = format!("{}{}", self.stage, id.trim_start_matches("sub_"));
        request.client_request_token(token).send().await.expect("settled");
    }

    async fn call(&self, id: &str) {
        let order = format!("{}-1-0-1", id.trim_start_matches("sub_"));
        let body = json!({"customerKey": "customer-000000000000000000000001", "amount": 88_000, "orderId": order,
            "orderName": "MindGarden standard #2"});
        let url = format!("{}/v1/billing/billing-key-000000000001-019a2b3c4d5e6f70", self.toss);
        let request = self.http.post(url).header("authorization", "Basic dGVzdF9za19iZW5jaDo=").body(body.to_string());
        let request = request.header("content-type", "application/json").timeout(Duration::from_secs(65));
        let request = request.header("Idempotency-Key", format!("charge:{id}:1:0:1"));
        let answer = request.send().await.expect("answered").bytes().await.expect("whole");
        assert!(!answer.is_empty());
    }
}
