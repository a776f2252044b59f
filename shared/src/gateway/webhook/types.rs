//! Every event type we know, and what it does here. The one table: parsing goes by it, `ARCHITECTURE.md` shows it, and a
//! type that is not in it is stored and changes nothing.

/// What an event of a type does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Tells of a payment that was taken: settled as it says where the gateway signs, read back where not.
    Payment,
    /// Tells of an attempt that failed: the attempt in flight is looked up, what the event says is not believed.
    Failure,
    /// Tells of money given back: booked as it says where signed, the payment's refunds are read back where not.
    Refund,
    /// Tells only how much was given back in all: the payment's refunds are read back.
    Refunded,
    Dispute,
    /// The card behind a method has a new face: brand, last digits and expiry are kept.
    MethodUpdated,
    /// The method is gone: it becomes suspect, the next charge confirms it.
    MethodRemoved,
    /// About an object that we do not keep (the gateway's own subscriptions and invoices): written to the audit log as
    /// this kind. An invoice that names one of our orders makes us look that up too.
    Recorded(&'static str),
    /// Known and of no consequence here: stored.
    Stored,
}

/// Stripe's types (facts/stripe.md §6.5 and §6.6) and the generic names of the brief. `payment.*` are nobody's own types:
/// they are taken as the payment events they stand for.
pub const STRIPE: [(&str, Does); 29] = [
    ("payment_intent.succeeded", Does::Payment),
    ("payment.succeeded", Does::Payment),
    ("payment_intent.payment_failed", Does::Failure),
    ("payment.failed", Does::Failure),
    ("charge.refunded", Does::Refunded),
    ("refund.created", Does::Refund),
    ("refund.updated", Does::Refund),
    ("refund.failed", Does::Refund),
    ("charge.refund.updated", Does::Refund),
    ("charge.dispute.created", Does::Dispute),
    ("charge.dispute.updated", Does::Dispute),
    ("charge.dispute.funds_withdrawn", Does::Dispute),
    ("charge.dispute.funds_reinstated", Does::Dispute),
    ("charge.dispute.closed", Does::Dispute),
    ("payment_method.automatically_updated", Does::MethodUpdated),
    ("payment_method.updated", Does::MethodUpdated),
    ("payment_method.detached", Does::MethodRemoved),
    ("customer.subscription.updated", Does::Recorded("gateway_subscription.updated")),
    ("customer.subscription.deleted", Does::Recorded("gateway_subscription.deleted")),
    ("invoice.paid", Does::Recorded("gateway_invoice.paid")),
    ("invoice.payment_failed", Does::Recorded("gateway_invoice.payment_failed")),
    ("setup_intent.succeeded", Does::Stored),
    ("setup_intent.setup_failed", Does::Stored),
    ("payment_intent.created", Does::Stored),
    ("payment_intent.processing", Does::Stored),
    ("payment_intent.requires_action", Does::Stored),
    ("payment_intent.canceled", Does::Stored),
    // Beside the intent's own events: one family is enough.
    ("charge.succeeded", Does::Stored),
    ("charge.failed", Does::Stored),
];

/// Toss's types (facts/toss-payments.md §6.2). None of what we take is signed. A virtual account's event has no type: it
/// goes by [`UNTYPED`].
pub const TOSS: [(&str, Does); 11] = [
    ("PAYMENT_STATUS_CHANGED", Does::Payment),
    ("CANCEL_STATUS_CHANGED", Does::Refunded),
    ("BILLING_DELETED", Does::MethodRemoved),
    ("METHOD_UPDATED", Does::Stored),
    ("CUSTOMER_STATUS_CHANGED", Does::Stored),
    ("ORDER_PAYMENT_STATUS_CHANGED", Does::Stored),
    ("PAYOUT_STATUS_CHANGED", Does::Stored),
    ("payout.changed", Does::Stored),
    ("seller.changed", Does::Stored),
    ("ars-reservation.changed", Does::Stored),
    (UNTYPED, Does::Stored),
];

/// What an unsigned event without a type is stored as.
pub const UNTYPED: &str = "DEPOSIT_CALLBACK";
/// What an unsigned event of a type nobody listed is stored as: its own name is the sender's to choose.
pub const UNLISTED: &str = "unlisted";

pub(super) fn stripe(event_type: &str) -> Does {
    let listed = STRIPE.iter().find(|(name, _)| *name == event_type).map(|(_, does)| *does);
    // Stripe adds stages to a dispute's life; each carries the dispute as it stands.
    let dispute = || event_type.starts_with("charge.dispute.").then_some(Does::Dispute);
    listed.or_else(dispute).unwrap_or(Does::Stored)
}

/// The listed name of a type, and what it does.
pub(super) fn toss(event_type: Option<&str>) -> (&'static str, Does) {
    let name = event_type.unwrap_or(UNTYPED);
    TOSS.iter().find(|(listed, _)| *listed == name).copied().unwrap_or((UNLISTED, Does::Stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_is_listed_twice() {
        for table in [&STRIPE[..], &TOSS[..]] {
            for (at, (name, _)) in table.iter().enumerate() {
                assert!(table[at + 1..].iter().all(|(other, _)| other != name), "{name}");
            }
        }
    }

    #[test]
    fn what_is_not_listed_is_stored_under_a_name_of_ours() {
        assert_eq!(stripe("customer.created"), Does::Stored);
        assert_eq!(stripe("charge.dispute.something_new"), Does::Dispute);
        assert_eq!(toss(Some("PAYMENT_STATUS_CHANGED")).1, Does::Payment);
        assert_eq!(toss(None), (UNTYPED, Does::Stored));
        for strange in ["", "payment_status_changed", "x".repeat(10_000).as_str()] {
            assert_eq!(toss(Some(strange)), (UNLISTED, Does::Stored));
        }
    }
}
