//! What Toss's error codes mean for a charge (facts/toss-payments.md §5.2).
//!
//! Invariants: only a listed card refusal is a decline; only an account-wide configuration error is [`Class::Config`],
//! because nothing was executed and the run stops for it; all else is unknown. The message is never looked at, and the
//! HTTP status only where the code is not listed: Toss answers declines with 400 and 403 alike.

use domain::charge::Heard;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Never again on this card.
    Hard,
    /// Again in hours or days.
    Soft,
    /// The outcome must be looked up.
    Unknown(Heard),
    /// Our keys or contract; nothing was executed, and no other charge would be.
    Config,
}

/// Classifies the code of an error answer.
pub(super) fn classify(status: u16, code: &str) -> Class {
    match code {
        "INVALID_STOPPED_CARD"
        | "INVALID_CARD_LOST_OR_STOLEN"
        | "INVALID_CARD_EXPIRATION"
        | "INVALID_CARD_NUMBER"
        | "INVALID_REJECT_CARD"
        | "NOT_SUPPORTED_CARD_TYPE"
        | "NOT_REGISTERED_CARD_COMPANY"
        | "INVALID_BILL_KEY_REQUEST"
        | "ALREADY_REMOVED_BILLING_KEY"
        | "EXCEED_MAX_AUTH_COUNT"
        | "FDS_ERROR" => Class::Hard,

        "REJECT_CARD_PAYMENT"
        | "REJECT_ACCOUNT_PAYMENT"
        | "REJECT_CARD_COMPANY"
        | "EXCEED_MAX_DAILY_PAYMENT_COUNT"
        | "EXCEED_MAX_PAYMENT_AMOUNT"
        | "EXCEED_MAX_ONE_DAY_AMOUNT"
        | "EXCEED_MAX_AMOUNT"
        | "EXCEED_UNKNOWN_CASE"
        // Not a word against the card: keys of another merchant id look the same, and one mistake of ours must not kill
        // every card we have.
        | "NOT_FOUND_BILLING" => Class::Soft,

        "UNAUTHORIZED_KEY"
        | "INVALID_API_KEY"
        | "INCORRECT_BASIC_AUTH_FORMAT"
        | "NOT_FOUND_MERCHANT"
        | "NOT_FOUND_MERCHANT_INTEGRATION"
        | "API_VERSION_UPDATE_NEEDED" => Class::Config,

        // An earlier send under this key still runs: an empty lookup proves nothing, and sending again is how to hear
        // what became of it (facts §3.2).
        "IDEMPOTENT_REQUEST_PROCESSING" => Class::Unknown(Heard::Nothing),
        // The same may be true, but this answer may itself be stored under the key: wait for the longer delay.
        "FORBIDDEN_CONSECUTIVE_REQUEST" | "DUPLICATED_REQUEST" => Class::Unknown(Heard::Error),

        _ if status == 401 => Class::Config,
        // In progress, or not even looked at: sending the same again is how to hear.
        _ if status == 409 || status == 429 => Class::Unknown(Heard::Nothing),
        // Includes the temporary ones (an outage consumes no step), DUPLICATED_ORDER_ID (the order may well be paid), what
        // one card's method may not do (NOT_SUPPORTED_METHOD), and every request error of ours: one broken row must not
        // stop the run.
        _ if (400..500).contains(&status) => Class::Unknown(Heard::Refusal),
        _ => Class::Unknown(Heard::Error),
    }
}

/// Refusals that pass by themselves, though they come as 4xx: maintenance, closed hours, a provider's hiccup.
pub(super) fn temporary(code: &str) -> bool {
    matches!(code, "PROVIDER_ERROR" | "CARD_PROCESSING_ERROR" | "MAINTAINED_METHOD" | "NOT_AVAILABLE_PAYMENT")
}

/// Refusals of a card that only its registration can bring.
pub(super) fn refused_at_registration(code: &str) -> bool {
    matches!(code, "INVALID_CARD_PASSWORD" | "INVALID_CARD_IDENTITY" | "INVALID_BIRTH_DAY_FORMAT")
}

/// Cancel codes that may mean this very refund was done before (facts §3.3).
pub(super) fn perhaps_refunded(code: &str) -> bool {
    matches!(
        code,
        "ALREADY_CANCELED_PAYMENT"
            | "ALREADY_REFUND_PAYMENT"
            | "NOT_CANCELABLE_AMOUNT"
            | "NOT_MATCHES_REFUNDABLE_AMOUNT"
    )
}

/// Cancel codes after which nothing was given back.
pub(super) fn refund_refused(code: &str) -> bool {
    matches!(
        code,
        "INVALID_REFUND_ACCOUNT_INFO"
            | "INVALID_REFUND_ACCOUNT_NUMBER"
            | "EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT"
            | "INVALID_REQUEST"
            | "INVALID_BANK"
            | "REFUND_REJECTED"
            | "FORBIDDEN_BANK_REFUND_REQUEST"
            | "NOT_CANCELABLE_PAYMENT"
            | "NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER"
            | "FORBIDDEN_REQUEST"
            | "EXCEED_MAX_REFUND_DUE"
            | "EXCEED_CANCEL_LIMIT"
            | "NOT_ALLOWED_PARTIAL_REFUND"
            | "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT"
            | "NOT_AVAILABLE_BANK"
            | "NOT_FOUND_PAYMENT"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: Class = Class::Unknown(Heard::Refusal);
    const ERROR: Class = Class::Unknown(Heard::Error);
    const RUNNING: Class = Class::Unknown(Heard::Nothing);

    /// Every row of facts/toss-payments.md §5.2, in its order.
    const TABLE: &[(&str, u16, Class)] = &[
        ("INVALID_STOPPED_CARD", 400, Class::Hard),
        ("INVALID_CARD_LOST_OR_STOLEN", 400, Class::Hard),
        ("INVALID_CARD_EXPIRATION", 400, Class::Hard),
        ("INVALID_CARD_NUMBER", 400, Class::Hard),
        ("INVALID_REJECT_CARD", 400, Class::Hard),
        ("NOT_SUPPORTED_CARD_TYPE", 400, Class::Hard),
        ("NOT_REGISTERED_CARD_COMPANY", 400, Class::Hard),
        ("INVALID_BILL_KEY_REQUEST", 400, Class::Hard),
        ("ALREADY_REMOVED_BILLING_KEY", 400, Class::Hard),
        ("NOT_FOUND_BILLING", 404, Class::Soft),
        ("EXCEED_MAX_AUTH_COUNT", 403, Class::Hard),
        ("FDS_ERROR", 403, Class::Hard),
        ("REJECT_CARD_PAYMENT", 403, Class::Soft),
        ("REJECT_ACCOUNT_PAYMENT", 403, Class::Soft),
        ("REJECT_CARD_COMPANY", 403, Class::Soft),
        ("EXCEED_MAX_DAILY_PAYMENT_COUNT", 400, Class::Soft),
        ("EXCEED_MAX_PAYMENT_AMOUNT", 400, Class::Soft),
        ("EXCEED_MAX_ONE_DAY_AMOUNT", 403, Class::Soft),
        ("EXCEED_MAX_AMOUNT", 400, Class::Soft),
        ("EXCEED_UNKNOWN_CASE", 400, Class::Soft),
        ("NOT_AVAILABLE_PAYMENT", 400, REFUSAL),
        ("MAINTAINED_METHOD", 400, REFUSAL),
        ("PROVIDER_ERROR", 400, REFUSAL),
        ("CARD_PROCESSING_ERROR", 400, REFUSAL),
        ("FAILED_CARD_COMPANY_RESPONSE", 500, ERROR),
        ("FAILED_INTERNAL_SYSTEM_PROCESSING", 500, ERROR),
        ("FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING", 500, ERROR),
        ("COMMON_ERROR", 500, ERROR),
        ("UNKNOWN_ERROR", 500, ERROR),
        ("UNKNOWN_PAYMENT_ERROR", 500, ERROR),
        ("FAILED_METHOD_HANDLING", 500, ERROR),
        ("IDEMPOTENT_REQUEST_PROCESSING", 409, RUNNING),
        ("FORBIDDEN_CONSECUTIVE_REQUEST", 403, ERROR),
        ("DUPLICATED_REQUEST", 400, ERROR),
        ("DUPLICATED_ORDER_ID", 400, REFUSAL),
        ("ALREADY_PROCESSED_PAYMENT", 400, REFUSAL),
        ("NOT_MATCHES_CUSTOMER_KEY", 400, REFUSAL),
        ("INVALID_REQUEST", 400, REFUSAL),
        ("INVALID_REQUIRED_PARAM", 400, REFUSAL),
        ("INVALID_ORDER_ID", 400, REFUSAL),
        ("INVALID_ORDER_NAME", 400, REFUSAL),
        ("INVALID_CUSTOMER_KEY", 400, REFUSAL),
        ("INVALID_EMAIL", 400, REFUSAL),
        ("BELOW_MINIMUM_AMOUNT", 400, REFUSAL),
        ("BELOW_ZERO_AMOUNT", 400, REFUSAL),
        ("REQUIRED_AMOUNT", 400, REFUSAL),
        ("INVALID_CARD_INSTALLMENT_PLAN", 400, REFUSAL),
        ("NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT", 400, REFUSAL),
        ("NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN", 400, REFUSAL),
        ("FAILED_DB_PROCESSING", 500, ERROR),
        ("NOT_SUPPORTED_METHOD", 400, REFUSAL),
        ("NOT_FOUND_TERMINAL_ID", 400, REFUSAL),
        ("UNAUTHORIZED_KEY", 401, Class::Config),
        ("INVALID_API_KEY", 400, Class::Config),
        ("INCORRECT_BASIC_AUTH_FORMAT", 403, Class::Config),
        ("FORBIDDEN_REQUEST", 403, REFUSAL),
        ("INVALID_IDEMPOTENCY_KEY", 400, REFUSAL),
        ("API_VERSION_UPDATE_NEEDED", 400, Class::Config),
        ("NOT_FOUND_MERCHANT", 404, Class::Config),
        ("NOT_FOUND_MERCHANT_INTEGRATION", 404, Class::Config),
        // Unlisted, and what only the status tells.
        ("SOMETHING_NEW", 400, REFUSAL),
        ("SOMETHING_NEW", 403, REFUSAL),
        ("SOMETHING_NEW", 429, RUNNING),
        ("SOMETHING_NEW", 401, Class::Config),
        ("SOMETHING_NEW", 409, RUNNING),
        ("SOMETHING_NEW", 500, ERROR),
        ("SOMETHING_NEW", 503, ERROR),
        ("SOMETHING_NEW", 302, ERROR),
        ("", 400, REFUSAL),
    ];

    #[test]
    fn every_row_has_its_class() {
        for (code, status, class) in TABLE {
            assert_eq!(classify(*status, code), *class, "{code} {status}");
        }
    }

    #[test]
    fn a_decline_is_a_decline_under_any_status() {
        for (code, _, class) in TABLE.iter().filter(|(_, _, class)| matches!(class, Class::Hard | Class::Soft)) {
            for status in [400, 403, 404, 500] {
                assert_eq!(classify(status, code), *class, "{code} {status}");
            }
        }
    }
}
