//! What operators do.

use serde_json::json;
use shared::api::audit::EventBody;
use shared::api::metrics::MetricsBody;
use shared::api::operations::{DemoBody, GatewayBody, GuidesBody, LettersBody, PlacedBody, RedrivenBody, RunBody};
use shared::api::requests::{NoFields, RedriveFailedCharges, SendPaymentGuides, StartRun, SwitchGateway};
use shared::ports::DeadQueue;

use super::subscriptions::NOT_CHARGED;
use crate::examples;
use crate::operation::Operation;

const TAG: &str = "operations";

pub fn start_run() -> Operation {
    Operation::new(TAG, "Start a billing run")
        .about("Starting one that is under way continues it.")
        .keyed()
        .may_take::<StartRun>(json!({}))
        .answers::<RunBody>(202, "The run; `GET /ops/runs` says how it goes.", examples::run("RUNNING"))
        .refuses(409, &["conflict"])
}

pub fn list_runs() -> Operation {
    Operation::new(TAG, "Billing runs, newest first")
        .paged()
        .page::<RunBody>("A page of runs.", examples::run("DRAINED"))
}

pub fn list_demo_requests() -> Operation {
    Operation::new(TAG, "Those who would like to be shown the product, newest first")
        .about("Kept for a year.")
        .paged()
        .page::<DemoBody>("A page of requests.", examples::demo_request())
}

pub fn approve_run() -> Operation {
    Operation::new(TAG, "Let a run go on that was held because its forecast jumps")
        .keyed()
        .may_take::<NoFields>(json!({}))
        .answers::<RunBody>(200, "The run.", examples::run("RUNNING"))
        .refuses(409, &["conflict", "run_not_held"])
}

pub fn list_gateways() -> Operation {
    Operation::new(TAG, "Each payment gateway and whether charges flow to it")
        .page::<GatewayBody>("All of them, on one page.", examples::gateway())
}

fn switch(summary: &'static str) -> Operation {
    Operation::new(TAG, summary)
        .keyed()
        .takes::<SwitchGateway>(json!({ "reason": "Toss announced an outage" }))
        .answers::<GatewayBody>(200, "The gateway.", examples::gateway())
        .refuses(409, &["conflict"])
}

pub fn pause_gateway() -> Operation {
    switch("Send no new charge to a gateway; what is owed stays due")
}

pub fn resume_gateway() -> Operation {
    switch("Let charges flow to a gateway again, whatever had stopped them")
}

pub fn send_payment_guides() -> Operation {
    Operation::new(TAG, "Tell the owners of what is due at a paused gateway how to pay meanwhile")
        .about("A batch at a time, each owner once per pause; `nextCursor` goes on where this one stopped.")
        .keyed()
        .may_take::<SendPaymentGuides>(json!({ "limit": 50 }))
        .answers::<GuidesBody>(200, "Whom this call told.", examples::guides())
        .refuses(409, &["conflict", "gateway_not_paused"])
}

pub fn resolve_attempt() -> Operation {
    Operation::new(TAG, "Look an open attempt up at its gateway now")
        .keyed()
        .may_take::<NoFields>(json!({}))
        .answers::<PlacedBody>(200, "It is settled.", examples::placed_attempt())
        .answers::<PlacedBody>(202, "Its outcome is still open.", examples::placed_attempt())
        .refuses(409, &NOT_CHARGED)
        .refuses(409, &["attempt_in_flight"])
        .refuses(503, &["gateway_paused"])
}

pub fn list_failed_charges() -> Operation {
    Operation::new(TAG, "Messages nobody could work on")
        .query_of::<DeadQueue>("queue", "`failed-charges` when absent.")
        .answers::<LettersBody>(200, "Dead letters, in no order.", examples::dead_letters())
}

pub fn redrive_failed_charges() -> Operation {
    Operation::new(TAG, "Send dead letters back to the queue they came from")
        .keyed()
        .may_take::<RedriveFailedCharges>(json!({ "queue": "failed-charges", "max": 10 }))
        .answers::<RedrivenBody>(200, "What was sent.", examples::redriven())
        .refuses(409, &["conflict"])
}

pub fn show_metrics() -> Operation {
    let date = || json!({ "type": "string", "format": "date" });
    Operation::new(TAG, "Charges, declines, recoveries and revenue of some days, and what is open now")
        .about("Days are Seoul's, both inclusive, at most a year; the last thirty without them.")
        .query("from", date(), "First day.")
        .query("to", date(), "Last day; today when absent.")
        .answers::<MetricsBody>(200, "The figures.", examples::metrics())
}

pub fn search_audit() -> Operation {
    let text = |most: u16| json!({ "type": "string", "minLength": 1, "maxLength": most });
    Operation::new(TAG, "What happened, newest first: about a subject, or on a day")
        .about("By `subject` or by `day`, one of them.")
        .paged()
        .query("subject", text(200), "The id of what an event is about.")
        .query("day", json!({ "type": "string", "format": "date" }), "A UTC day.")
        .query("type", json!({ "type": "string", "pattern": "^[a-z._]{1,64}$" }), "Leaves events of one type only.")
        .page::<EventBody>("A page of events. It may be short and still have a successor.", examples::event())
}
