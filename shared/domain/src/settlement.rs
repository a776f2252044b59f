//! Settlement: what a gateway lists against what our books say. A row of its list, or a fact of ours that no row answers,
//! gets exactly one bucket; money that nobody can explain is counted and told.
//!
//! Invariants: judging looks at one row and one cycle, so the order of rows does not matter and judging again says the
//! same; every readable row outside matched and timing has an unexplained amount that is not zero, every row inside has
//! none. Amounts are signed from our side, in minor units of the row's currency.

mod row;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::charge::{Billable, GatewayName};
use crate::cycle::{Cycle, Outcome, Payment};
use crate::money::Money;
use crate::movement::{Kind, Movement};
use crate::refund::{Refund, Status};

pub use row::{Booked, Decided, Heard, SettlementRow, Side, UNEXPLAINED, of_fact, row_id};

/// How old a fact of ours may be that the gateway's list does not show yet.
pub const LISTED_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// How old a movement may be whose fee and pay-out the gateway has not told yet. One day less than what the daily pass
/// looks back, so that the last look still tells.
pub const SETTLED_AFTER: SignedDuration = SignedDuration::from_hours(6 * 24);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SettlementBucket))]
#[serde(rename_all = "kebab-case")]
pub enum Bucket {
    /// Both sides say the same.
    Matched,
    /// One side may still come.
    Timing,
    /// The gateway moved money and the books do not say why.
    MissingInternal,
    /// The books say that money moved and the gateway does not.
    MissingGateway,
    /// Both know of it, in other amounts.
    AmountMismatch,
}

impl Bucket {
    pub const ALL: [Bucket; 5] =
        [Bucket::Matched, Bucket::Timing, Bucket::MissingInternal, Bucket::MissingGateway, Bucket::AmountMismatch];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Bucket::Matched => "matched",
            Bucket::Timing => "timing",
            Bucket::MissingInternal => "missing-internal",
            Bucket::MissingGateway => "missing-gateway",
            Bucket::AmountMismatch => "amount-mismatch",
        }
    }

    /// Whether nobody has to look at it.
    #[must_use]
    pub fn at_rest(self) -> bool {
        matches!(self, Bucket::Matched | Bucket::Timing)
    }
}

/// Why a row is where it is; none for an ordinary match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SettlementReason))]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Matched: money that was held in quarantine went back, or this is it going back.
    QuarantineReturned,
    /// Timing: the attempt is still open.
    AttemptLive,
    /// Timing: the refund is still under way.
    RefundUnderWay,
    /// Timing: the gateway has not told its fee yet.
    FeePending,
    /// Timing: our fact is young.
    Young,
    /// The order is not one of ours.
    ForeignOrder,
    /// The order is ours, the books do not know of the money.
    NotInBooks,
    /// Known, and applied to nothing: an operator decides.
    Quarantined,
    /// A kind of movement nobody listed.
    UnknownKind,
    /// It does not read; kept as it came.
    Unreadable,
    Amount,
    Currency,
    /// Net is not amount less fee, or two lists of the gateway differ.
    FeeDoesNotAddUp,
    /// The fee is not the one that was booked.
    FeeChanged,
    /// The gateway never told fee and pay-out.
    NotSettled,
    /// No row of the gateway answers it.
    NotListed,
}

impl Reason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::QuarantineReturned => "quarantine-returned",
            Reason::AttemptLive => "attempt-live",
            Reason::RefundUnderWay => "refund-under-way",
            Reason::FeePending => "fee-pending",
            Reason::Young => "young",
            Reason::ForeignOrder => "foreign-order",
            Reason::NotInBooks => "not-in-books",
            Reason::Quarantined => "quarantined",
            Reason::UnknownKind => "unknown-kind",
            Reason::Unreadable => "unreadable",
            Reason::Amount => "amount",
            Reason::Currency => "currency",
            Reason::FeeDoesNotAddUp => "fee-does-not-add-up",
            Reason::FeeChanged => "fee-changed",
            Reason::NotSettled => "not-settled",
            Reason::NotListed => "not-listed",
        }
    }
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub bucket: Bucket,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What the books account for; nothing while it waits.
    pub explained: i64,
    /// What nobody accounts for, the gateway's side less ours; none when the row does not say how much it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<i64>,
    /// The fact of ours it answers, spelled as [`of_fact`] does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
}

/// What the books say about the order of a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ours<'a> {
    pub cycle: Option<&'a Cycle>,
    /// An attempt of this order is open.
    pub live: bool,
    /// Of a payment in quarantine: what the gateway gave back of it so far, minor units.
    pub given_back: i64,
}

/// Judges a row of a gateway's list. `booked` is the fee the ledger has for it already.
#[must_use]
pub fn judge(by: GatewayName, moved: &Movement, ours: Ours<'_>, booked: Option<i64>, now: Timestamp) -> Verdict {
    if moves_nothing(moved) {
        return matched(moved, None, None);
    }
    let principal = match moved.kind {
        Kind::Fee | Kind::PayOut => matched(moved, None, None),
        Kind::Other => lost(moved, Reason::UnknownKind),
        Kind::Capture | Kind::Refund | Kind::RefundReturned | Kind::Dispute | Kind::DisputeReturned => {
            let named = moved.order_id.as_deref().and_then(Billable::parse_order_id);
            if named.is_none() { lost(moved, Reason::ForeignOrder) } else { of_order(by, moved, ours) }
        }
    };
    if principal.bucket == Bucket::Matched { with_fee(principal, moved, booked, now) } else { principal }
}

/// Judges a fact of ours: money we say moved, `amount` signed, `answered` by a row or not.
#[must_use]
pub fn judge_ours(amount: Money, at: Timestamp, answered: bool, now: Timestamp) -> Verdict {
    let verdict = |bucket, reason, unexplained: i64| {
        let unexplained = Some(unexplained);
        Verdict { bucket, reason, explained: 0, unexplained, answers: None }
    };
    if answered || amount.amount == 0 {
        verdict(Bucket::Matched, None, 0)
    } else if now.duration_since(at) < LISTED_AFTER {
        verdict(Bucket::Timing, Some(Reason::Young), 0)
    } else {
        verdict(Bucket::MissingGateway, Some(Reason::NotListed), amount.amount.saturating_neg())
    }
}

/// A row that does not read.
#[must_use]
pub fn unreadable() -> Verdict {
    let (bucket, reason) = (Bucket::MissingInternal, Some(Reason::Unreadable));
    Verdict { bucket, reason, explained: 0, unexplained: None, answers: None }
}

fn moves_nothing(moved: &Movement) -> bool {
    let net = moved.fee.as_ref().map_or(0, |fee| if fee.amount == 0 { fee.net } else { fee.amount });
    moved.amount.amount == 0 && net == 0
}

fn matched(moved: &Movement, reason: Option<Reason>, answers: Option<String>) -> Verdict {
    let explained = moved.amount.amount;
    Verdict { bucket: Bucket::Matched, reason, explained, unexplained: Some(0), answers }
}

fn waiting(reason: Reason, answers: Option<String>) -> Verdict {
    Verdict { bucket: Bucket::Timing, reason: Some(reason), explained: 0, unexplained: Some(0), answers }
}

/// Nothing of ours accounts for any of it.
fn lost(moved: &Movement, reason: Reason) -> Verdict {
    let net = || moved.fee.as_ref().map_or(0, |fee| if fee.net == 0 { fee.amount } else { fee.net });
    let amount = if moved.amount.amount == 0 { net() } else { moved.amount.amount };
    let (bucket, reason) = (Bucket::MissingInternal, Some(reason));
    Verdict { bucket, reason, explained: 0, unexplained: Some(amount), answers: None }
}

/// Both sides know of it: matched when they say the same.
fn compare(moved: &Movement, ours: Money, answers: String) -> Verdict {
    let differs = |reason, explained: i64| Verdict {
        bucket: Bucket::AmountMismatch,
        reason: Some(reason),
        explained,
        unexplained: Some(moved.amount.amount.saturating_sub(explained)),
        answers: Some(answers.clone()),
    };
    if moved.amount.currency != ours.currency {
        Verdict { unexplained: lost(moved, Reason::Currency).unexplained, ..differs(Reason::Currency, 0) }
    } else if moved.amount.amount != ours.amount {
        differs(Reason::Amount, ours.amount)
    } else {
        matched(moved, None, Some(answers))
    }
}

fn of_order(by: GatewayName, moved: &Movement, ours: Ours<'_>) -> Verdict {
    let not_in_books = || {
        let live = ours.live && moved.kind == Kind::Capture;
        if live { waiting(Reason::AttemptLive, None) } else { lost(moved, Reason::NotInBooks) }
    };
    let Some(cycle) = ours.cycle else { return not_in_books() };
    let known = match moved.kind {
        Kind::Capture => capture(by, moved, cycle, ours.given_back),
        Kind::Refund | Kind::RefundReturned => refund(by, moved, cycle),
        Kind::Dispute | Kind::DisputeReturned => dispute(moved, cycle),
        Kind::Fee | Kind::PayOut | Kind::Other => None,
    };
    known.unwrap_or_else(not_in_books)
}

fn capture(by: GatewayName, moved: &Movement, cycle: &Cycle, given_back: i64) -> Option<Verdict> {
    if let Some(payment) = paying(by, moved, cycle) {
        return Some(compare(moved, cycle.amount, of_fact("capture", &payment.payment_id)));
    }
    if !quarantined(moved, cycle) {
        return None;
    }
    let left = moved.amount.amount.saturating_sub(given_back);
    if left == 0 {
        return Some(matched(moved, Some(Reason::QuarantineReturned), None));
    }
    let bucket = if moved.amount == cycle.amount { Bucket::MissingInternal } else { Bucket::AmountMismatch };
    let reason = Some(Reason::Quarantined);
    Some(Verdict { bucket, reason, explained: given_back, unexplained: Some(left), answers: None })
}

/// The cycle's payment, when the row is about it. Charge ids tell two apart only when both are known.
fn paying<'a>(by: GatewayName, moved: &Movement, cycle: &'a Cycle) -> Option<&'a Payment> {
    let (payment, taken_by) = cycle.payment()?;
    let other = matches!((&payment.charge_id, &moved.charge_id), (Some(a), Some(b)) if a != b);
    let same = taken_by == by && moved.payment_id.as_deref() == Some(payment.payment_id.as_str());
    (same && !other).then_some(payment)
}

/// Whether the row's payment is held in quarantine here: under its charge or, without one, under itself.
fn quarantined(moved: &Movement, cycle: &Cycle) -> bool {
    let ids = [moved.charge_id.as_deref(), moved.payment_id.as_deref()];
    let held = |id: &str| ids.contains(&Some(id));
    cycle.attempts.iter().any(|a| a.outcome == Outcome::Quarantined && a.charge_id.as_deref().is_some_and(held))
}

fn refund(by: GatewayName, moved: &Movement, cycle: &Cycle) -> Option<Verdict> {
    if paying(by, moved, cycle).is_none() {
        return quarantined(moved, cycle).then(|| matched(moved, Some(Reason::QuarantineReturned), None));
    }
    let about = |r: &&Refund| r.gateway_refund_id.is_some() && r.gateway_refund_id == moved.about;
    let known = cycle.refunds.iter().find(about)?;
    let returned = moved.kind == Kind::RefundReturned;
    let signed = if returned { known.amount } else { known.amount.saturating_neg() };
    let of = of_fact(if returned { "returned" } else { "refund" }, known.id.as_str());
    let verdict = compare(moved, Money { amount: signed, ..cycle.amount }, of.clone());
    match known.status {
        // One that came back has a row of its own for coming back.
        Status::Failed => Some(verdict),
        Status::Succeeded => (!returned).then_some(verdict),
        Status::PendingApproval | Status::Requested | Status::Started | Status::Pending | Status::Unknown => {
            let open = verdict.bucket == Bucket::Matched && !returned;
            Some(if open { waiting(Reason::RefundUnderWay, Some(of)) } else { verdict })
        }
        Status::Rejected => None,
    }
}

fn dispute(moved: &Movement, cycle: &Cycle) -> Option<Verdict> {
    let known = cycle.dispute.as_ref().filter(|d| Some(d.id.as_str()) == moved.about.as_deref())?;
    let returned = moved.kind == Kind::DisputeReturned;
    if returned && (known.closed_at.is_none() || known.lost_amount() != 0) {
        return None;
    }
    let signed = if returned { known.amount } else { known.amount.saturating_neg() };
    let of = of_fact(if returned { "dispute-returned" } else { "dispute" }, &known.id);
    Some(compare(moved, Money { amount: signed, ..cycle.amount }, of))
}

/// What the fee says about a row whose amount is right.
fn with_fee(verdict: Verdict, moved: &Movement, booked: Option<i64>, now: Timestamp) -> Verdict {
    let wrong = |reason, unexplained: i64| Verdict {
        bucket: Bucket::AmountMismatch,
        reason: Some(reason),
        unexplained: Some(unexplained),
        ..verdict.clone()
    };
    let Some(fee) = &moved.fee else {
        if matches!(moved.kind, Kind::Fee | Kind::PayOut) {
            return verdict;
        }
        if now.duration_since(moved.at) < SETTLED_AFTER {
            return waiting(Reason::FeePending, verdict.answers);
        }
        let (bucket, reason) = (Bucket::MissingGateway, Some(Reason::NotSettled));
        return Verdict { bucket, reason, explained: 0, unexplained: Some(moved.amount.amount), ..verdict };
    };
    let net = moved.amount.amount.saturating_sub(fee.amount);
    if fee.net != net {
        return wrong(Reason::FeeDoesNotAddUp, fee.net.saturating_sub(net));
    }
    match booked.filter(|booked| *booked != moved.kept()) {
        Some(booked) => wrong(Reason::FeeChanged, booked.saturating_sub(moved.kept())),
        None => verdict,
    }
}

impl Movement {
    /// What the gateway keeps of it, minor units: its fee, and of a row that is a fee all of it.
    #[must_use]
    pub fn kept(&self) -> i64 {
        let fee = self.fee.as_ref().map_or(0, |fee| fee.amount);
        if self.kind == Kind::Fee { fee.saturating_sub(self.amount.amount) } else { fee }
    }
}
