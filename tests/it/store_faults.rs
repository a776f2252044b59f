//! What DynamoDB does and emulators never do: transaction conflicts, throttling, lost answers, unprocessed keys, empty
//! pages, stale indexes. Injected between the SDK and an embedded emulator.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use domain::subscription::Subscription;
use serde_json::{Value, json};
use shared::store::{Commit, DynamoStore, Key, Query, Record, Store, StoreError, Write, typed};

use crate::store_samples::*;
use crate::store_tables::{STAGE, config, embedded};

/// What happens to one request.
#[derive(Clone, Debug)]
enum Step {
    Pass,
    /// Answered with this, and the service never sees it.
    Instead(u16, Value),
    /// The service does it, and the answer is lost.
    AnswerLost,
}

/// Follows a script, one step a request, then lets everything pass.
#[derive(Clone, Debug, Default)]
struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    now: Arc<Mutex<Option<Step>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.seen.lock().unwrap().clear();
        self.steps.lock().unwrap().extend(steps);
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Intercept for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let step = self.steps.lock().unwrap().pop_front().unwrap_or(Step::Pass);
        let request = context.request_mut();
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        self.seen.lock().unwrap().push(target.trim_start_matches("DynamoDB_20120810.").to_owned());
        if matches!(step, Step::Instead(..)) {
            // Something harmless travels in its place.
            request.headers_mut().insert("x-amz-target", "DynamoDB_20120810.ListTables");
            request.headers_mut().insert("content-length", "2");
            *request.body_mut() = "{}".into();
        }
        *self.now.lock().unwrap() = Some(step);
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (status, body) = match self.now.lock().unwrap().take() {
            Some(Step::Instead(status, body)) => (status, body),
            Some(Step::AnswerLost) => (500, error("InternalServerError", "gone")),
            Some(Step::Pass) | None => return Ok(()),
        };
        *context.response_mut() = HttpResponse::new(status.try_into()?, body.to_string().into());
        Ok(())
    }
}

fn error(code: &str, message: &str) -> Value {
    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message})
}

fn refused(code: &str) -> Step {
    Step::Instead(400, error(code, "injected"))
}

fn cancelled(codes: &[&str]) -> Step {
    let reasons: Vec<Value> = codes.iter().map(|code| json!({"Code": code, "Message": "injected"})).collect();
    let mut body = error("TransactionCanceledException", "injected");
    body["CancellationReasons"] = reasons.into();
    Step::Instead(400, body)
}

/// A store behind a script, on an emulator of its own. `retries` is what the SDK does by itself.
async fn scripted(retries: RetryConfig) -> (DynamoStore, Script) {
    let script = Script::default();
    let config = config(&embedded().await).interceptor(script.clone()).retry_config(retries).build();
    (DynamoStore::new(Client::from_conf(config), STAGE), script)
}

fn two_rows() -> (Commit, [Key; 3]) {
    let (row, event) = (subscription(), event("subject", t(0)));
    let cycle = cycle(&row.id, 0, 0);
    let keys = [Key::Subscription(row.id.clone()), Record::from(cycle.clone()).key(), Key::Event(event.id.clone())];
    (commit(vec![Write::New(row.into()), Write::New(cycle.into())], vec![event]), keys)
}

#[tokio::test]
async fn a_transaction_conflict_is_a_lost_race_that_says_nothing_of_a_row() {
    let (store, script) = scripted(RetryConfig::disabled()).await;
    let row = subscription();
    let key = Key::Subscription(row.id.clone());
    script.then([refused("TransactionConflictException")]);
    assert_eq!(store.commit(&insert(row)).await, Err(StoreError::Conflict { key: None }));
    assert_eq!(store.get(&key).await.unwrap(), None);

    let (commit, keys) = two_rows();
    for (codes, stored) in [
        (["TransactionConflict", "None", "None"], None),
        (["None", "TransactionConflict", "None"], None),
        (["None", "TransactionConflict", "ConditionalCheckFailed"], Some(2)),
    ] {
        script.then([cancelled(&codes)]);
        let key = stored.map(|at: usize| keys[at].clone());
        assert_eq!(store.commit(&commit).await, Err(StoreError::Conflict { key }));
    }
    assert_eq!(store.get_many(&keys).await.unwrap(), vec![]);
    store.commit(&commit).await.expect("the same decision may be committed again");
    assert_eq!(store.get_many(&keys).await.unwrap().len(), 3);
}

#[tokio::test]
async fn throttling_is_unavailable_and_changes_nothing() {
    let (store, script) = scripted(RetryConfig::disabled()).await;
    let unavailable = |code: &str| StoreError::Unavailable(code.to_owned());
    let (both, keys) = two_rows();
    for code in ["ThrottlingError", "ProvisionedThroughputExceeded"] {
        script.then([cancelled(&["None", code, "None"])]);
        assert_eq!(store.commit(&both).await, Err(unavailable(code)));
    }
    for code in ["TransactionInProgressException", "ThrottlingException"] {
        script.then([refused(code)]);
        assert_eq!(store.commit(&both).await, Err(unavailable(code)));
    }
    let code = "ProvisionedThroughputExceededException";
    script.then([refused(code), refused(code), refused(code), refused(code)]);
    let row = subscription();
    assert_eq!(store.commit(&insert(row.clone())).await, Err(unavailable(code)));
    assert_eq!(store.get(&keys[0]).await, Err(unavailable(code)));
    assert_eq!(store.get_many(&keys).await, Err(unavailable(code)));
    let query = Query::CyclesOf { subscription: row.id.clone() };
    assert_eq!(store.query(&query, 1, None).await, Err(unavailable(code)));
    let mut all = keys.to_vec();
    all.push(Key::Subscription(row.id));
    assert_eq!(store.get_many(&all).await.unwrap(), vec![]);
}

#[tokio::test]
async fn sizes_only_the_service_can_judge_are_too_large() {
    let (store, script) = scripted(RetryConfig::disabled()).await;
    let message = "Item size has exceeded the maximum allowed size";
    script.then([Step::Instead(400, error("ValidationException", message))]);
    assert_eq!(store.commit(&insert(subscription())).await, Err(StoreError::TooLarge));
    let mut step = error("TransactionCanceledException", "injected");
    step["CancellationReasons"] = json!([{"Code": "None"}, {"Code": "ValidationError", "Message": message}]);
    script.then([Step::Instead(400, step)]);
    assert_eq!(store.commit(&two_rows().0).await, Err(StoreError::TooLarge));
    script.then([refused("ValidationException")]);
    assert!(matches!(store.commit(&insert(subscription())).await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_lost_answer_leaves_a_commit_that_can_be_repeated() {
    let (store, script) = scripted(RetryConfig::disabled()).await;
    let row = subscription();
    let one = insert(row.clone());
    script.then([Step::AnswerLost]);
    assert!(matches!(store.commit(&one).await, Err(StoreError::Unavailable(_))));
    store.commit(&one).await.expect("it was applied");
    let (both, keys) = two_rows();
    script.then([Step::AnswerLost]);
    assert!(matches!(store.commit(&both).await, Err(StoreError::Unavailable(_))));
    store.commit(&both).await.expect("it was applied");
    assert_eq!(store.get_many(&keys).await.unwrap().len(), 3);
}

#[tokio::test]
async fn the_sdk_repeats_a_lost_put_and_we_recognise_it() {
    let (store, script) = scripted(RetryConfig::standard().with_max_attempts(2)).await;
    let row = subscription();
    script.then([Step::AnswerLost]);
    store.commit(&insert(row.clone())).await.expect("our own first attempt");
    assert_eq!(script.seen(), ["PutItem", "PutItem"]);
    script.then([Step::AnswerLost]);
    store.commit(&two_rows().0).await.expect("the request token");
    assert_eq!(script.seen(), ["TransactWriteItems", "TransactWriteItems"]);
    assert_eq!(typed::subscription(&store, &row.id).await.unwrap().unwrap().version, 1);
}

#[tokio::test]
async fn one_commit_id_for_two_decisions_is_a_bug_that_is_seen() {
    let (store, _) = scripted(RetryConfig::disabled()).await;
    let (first, _) = two_rows();
    store.commit(&first).await.unwrap();
    let second = Commit { id: first.id.clone(), ..two_rows().0 };
    assert!(matches!(store.commit(&second).await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn unprocessed_keys_are_asked_for_again_within_a_bound() {
    let (store, script) = scripted(RetryConfig::disabled()).await;
    let rows = [subscription(), subscription()];
    for row in &rows {
        store.commit(&insert(row.clone())).await.unwrap();
    }
    let keys = rows.clone().map(|row| Key::Subscription(row.id));
    let left = |rows: &[Subscription]| {
        let keys: Vec<Value> = rows.iter().map(|row| json!({"pk": {"S": row.id.as_str()}})).collect();
        let name = format!("{STAGE}-subscription");
        Step::Instead(200, json!({"Responses": {}, "UnprocessedKeys": {name: {"Keys": keys, "ConsistentRead": true}}}))
    };
    script.then([left(&rows), left(&rows)]);
    assert_eq!(store.get_many(&keys).await.unwrap().len(), 2);
    assert_eq!(script.seen(), ["BatchGetItem"; 3]);
    script.then(std::iter::repeat_n(left(&rows), 6));
    assert!(matches!(store.get_many(&keys).await, Err(StoreError::Unavailable(_))));
    assert_eq!(script.seen(), ["BatchGetItem"; 6]);
}

#[tokio::test]
async fn an_empty_page_is_not_the_end() {
    let (store, script) = scripted(RetryConfig::disabled()).await;
    let id = subscription_id();
    let cycles: Vec<Write> = (0..5).map(|n| Write::New(cycle(&id, n, 0).into())).collect();
    store.commit(&commit(cycles, vec![])).await.unwrap();
    let last = json!({"pk": {"S": id.as_str()}, "sk": {"S": "000001#0000"}});
    let empty = Step::Instead(200, json!({"Items": [], "Count": 0, "ScannedCount": 2, "LastEvaluatedKey": last}));
    script.then([empty.clone()]);
    let query = Query::CyclesOf { subscription: id };
    let page = store.query(&query, 10, None).await.unwrap();
    assert_eq!((page.records.len(), page.next), (3, None), "what follows the empty page");
    script.then(std::iter::repeat_n(empty, 64));
    assert!(matches!(store.query(&query, 10, None).await, Err(StoreError::Unavailable(_))), "but not for ever");
}

#[tokio::test]
async fn a_stale_index_entry_is_left_out() {
    let (store, script) = scripted(RetryConfig::disabled()).await;
    let due = subscription();
    let paid = Subscription { due_at: Some(t(5_000)), ..subscription() };
    store.commit(&commit(vec![Write::New(due.clone().into()), Write::New(paid.clone().into())], vec![])).await.unwrap();
    let partition = due.due_partition();
    let entry = |row: &Subscription, at: i64| {
        let at = t(at).as_millisecond().to_string();
        json!({"pk": {"S": row.id.as_str()}, "due_pk": {"S": partition}, "due_sk": {"N": at}})
    };
    let items = json!([entry(&paid, -9), entry(&subscription(), -5), entry(&due, 0)]);
    script.then([Step::Instead(200, json!({"Items": items, "Count": 3, "ScannedCount": 3}))]);
    let query = Query::SubscriptionsDue { partition: partition.clone(), until: t(10) };
    let page = store.query(&query, 10, None).await.unwrap();
    assert_eq!(page.records, vec![Subscription { version: 1, ..due }.into()]);
    assert_eq!(script.seen(), ["Query", "BatchGetItem"], "an index costs one query and one batch");
}

#[tokio::test]
async fn each_call_is_one_request_of_the_cheapest_kind() {
    let (store, script) = scripted(RetryConfig::disabled()).await;
    script.then([]);
    let row = subscription();
    store.commit(&insert(row.clone())).await.unwrap();
    store.commit(&replace(Subscription { version: 1, ..row.clone() })).await.unwrap();
    typed::subscription(&store, &row.id).await.unwrap();
    store.commit(&commit(vec![], vec![event(row.id.as_str(), t(0))])).await.unwrap();
    store.commit(&two_rows().0).await.unwrap();
    store.query(&Query::CyclesOf { subscription: row.id }, 10, None).await.unwrap();
    assert_eq!(script.seen(), ["PutItem", "PutItem", "GetItem", "PutItem", "TransactWriteItems", "Query"]);
}

#[tokio::test]
async fn an_unreachable_service_is_unavailable() {
    let config = config("http://127.0.0.1:1").retry_config(RetryConfig::disabled()).build();
    let store = DynamoStore::new(Client::from_conf(config), STAGE);
    let nobody = Key::Subscription(subscription_id());
    assert_eq!(store.get(&nobody).await, Err(StoreError::Unavailable("not reached".to_owned())));
}
