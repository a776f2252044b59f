//! One file per business action: load, decide (domain), call, commit. No rule of its own beyond the order of those.
//!
//! Invariants: nothing is called before the attempt is written; every answer goes through [`settle::settle_report`];
//! a lost race is decided again from fresh rows, a bounded number of times.

pub mod activate_subscription;
pub mod allowance;
pub mod approve_run;
pub mod book_entries;
pub mod cancel_subscription;
pub mod change_method;
pub mod charge_subscription;
pub mod close_month;
pub mod count_events;
pub mod create_subscription;
pub mod daily_limit;
pub mod dead_letters;
pub mod decide_application;
pub mod delete_method;
pub mod end_application;
pub mod explain_invoice;
pub mod forward_events;
pub mod forwarded_marks;
pub mod hold_run;
pub mod issue_tax_document;
pub mod metrics;
pub mod month_summary;
pub mod notify;
pub mod observe_refunds;
pub mod owner;
pub mod park;
pub mod payment_guide;
pub mod receive_hint;
pub mod receive_webhook;
pub mod reconcile;
pub mod recover_charge;
pub mod refund_payment;
pub mod register_method;
pub mod reissue_token;
pub mod release_intent;
pub mod remind;
pub mod request_demo;
pub mod rereads;
pub mod resolve_attempt;
pub mod resolve_order;
pub mod retire;
pub mod rotate_keys;
pub mod run_billing;
pub mod runner;
pub mod seal_audit;
pub mod search_audit;
pub mod send_refund;
pub mod set_up_method;
pub mod settle;
pub mod settlement_report;
pub mod stamp;
pub mod start_run;
pub mod submit_application;
pub mod suspense;
pub mod sweep_refunds;
pub mod switch;
pub mod verify_audit;
pub mod write_documents;

use std::sync::Arc;

use allowance::Allowance;

use crate::gateway::Gateways;
use crate::ports::{Clock, Hints, Random, Vault};
use crate::store::Store;

/// How often a lost race is decided again before the caller is asked to try later.
pub const RACES: u32 = 5;

/// Everything a function needs to move money, and nothing else. Its IAM policy is the template's charge set.
#[derive(Clone)]
pub struct Charging {
    pub store: Arc<dyn Store>,
    pub gateways: Gateways,
    pub vault: Arc<dyn Vault>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub hints: Arc<dyn Hints>,
    /// The gateway calls this process may make, and when.
    pub allowance: Arc<dyn Allowance>,
}
