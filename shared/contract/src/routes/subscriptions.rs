//! Subscriptions and their cycles.

use domain::subscription::Status;
use serde_json::json;
use shared::api::requests::{CancelSubscription, CreateSubscription, NoFields, UpdateSubscription};
use shared::api::{CycleBody, SubscriptionBody};

use crate::examples;
use crate::operation::{Operation, id_schema};

const TAG: &str = "subscriptions";

/// Why a charge that somebody asks for is not even tried.
pub const NOT_CHARGED: [&str; 9] = [
    "attempt_in_progress",
    "conflict",
    "illegal_transition",
    "not_approved",
    "nothing_owed",
    "parked",
    "payment_method_unusable",
    "subscription_ended",
    "too_many_tries",
];

pub fn create_subscription() -> Operation {
    Operation::new(TAG, "The subscription of an application, waiting for approval")
        .about("An application has one: asking again gives the same one, asking for another is refused.")
        .keyed()
        .takes::<CreateSubscription>(examples::order())
        .answers::<SubscriptionBody>(201, "The subscription.", examples::pending_subscription())
        .refuses(404, &["not_found"])
        .refuses(409, &["application_decided", "conflict", "subscription_exists"])
}

/// A charge that is waited for.
fn charging(summary: &'static str) -> Operation {
    Operation::new(TAG, summary)
        .keyed()
        .may_take::<NoFields>(json!({}))
        .answers::<SubscriptionBody>(200, "Paid.", examples::subscription())
        .answers::<SubscriptionBody>(202, "Not known yet; it is being found out.", examples::pending_subscription())
        .refuses(402, &["payment_declined"])
        .refuses(409, &NOT_CHARGED)
        .refuses(503, &["gateway_paused"])
}

pub fn activate_subscription() -> Operation {
    charging("Take the first payment of an approved subscription")
        .about("One that is active already is answered with 200 and not charged.")
}

pub fn retry_subscription() -> Operation {
    charging("Charge what is owed now, or put a parked subscription back")
}

pub fn cancel_subscription() -> Operation {
    Operation::new(TAG, "End a subscription with its paid period, or now")
        .keyed()
        .takes::<CancelSubscription>(json!({ "at": "PERIOD_END", "reason": "closing the branch" }))
        .answers::<SubscriptionBody>(200, "The subscription.", examples::subscription())
        .refuses(409, &NOT_CHARGED)
}

pub fn update_subscription() -> Operation {
    Operation::new(TAG, "Change the card, and charge what is owed with it at once")
        .about("`charge` says what came of it.")
        .takes::<UpdateSubscription>(examples::method_change())
        .answers::<SubscriptionBody>(200, "The subscription.", examples::subscription())
        .refuses(409, &NOT_CHARGED)
        .refuses(503, &["gateway_paused"])
}

pub fn get_subscription() -> Operation {
    Operation::new(TAG, "A subscription, for its owner and the operators").answers::<SubscriptionBody>(
        200,
        "The subscription.",
        examples::overdue_subscription(),
    )
}

pub fn list_subscriptions() -> Operation {
    Operation::new(TAG, "A tenant's own; for operators those of a tenant or in a status")
        .query_of::<Status>("status", "`ACTIVE` when neither it nor a tenant is named.")
        .query("tenantId", id_schema("ten"), "Whose; a tenant sees only itself.")
        .paged()
        .page::<SubscriptionBody>("A page of subscriptions.", examples::subscription())
}

pub fn list_cycles() -> Operation {
    Operation::new(TAG, "What was owed, tried and paid, in period order")
        .paged()
        .page::<CycleBody>("A page of cycles, a live attempt in its place.", examples::cycle())
}
